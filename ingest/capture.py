"""Capture: read frames from a source at a rate, and send them."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Protocol
from uuid import UUID

from ingest.frame import Frame
from ingest.metrics import SOURCE_LAST_FRAME
from ingest.sources.protocol import Source


class FrameSender(Protocol):
    """Sends frames; `ingest.producer.producer.Producer` fits."""

    def send(self, frame: Frame, on_durable: Callable[[Frame], None]) -> UUID:
        """Take a frame and return its id; call `on_durable` with the frame once it can't be lost any more."""


class Pacer:
    """Spaces frames evenly on a monotonic clock.

    Frame k is due at start + k / rate, so small delays do not add up. When a frame is late by more than one period,
    because the source was silent or the bus unavailable, a new schedule starts: no burst follows a pause.
    """

    def __init__(self, rate_fps: float | None, now: Callable[[], float] = time.monotonic) -> None:
        """Set the rate in frames per second, or None for no limit; raise `ValueError` for one that is not above 0."""
        if rate_fps is not None and not 0 < rate_fps < float("inf"):
            raise ValueError(f"The rate must be a number of frames per second above 0, not {rate_fps}.")
        self._period_s = 0.0 if rate_fps is None else 1 / rate_fps
        self._now = now
        self._due_at_s: float | None = None

    def wait_s(self) -> float:
        """Schedule the next frame and return the seconds until it is due, 0 when it is due already."""
        now_s = self._now()
        if self._due_at_s is None or now_s - self._due_at_s > self._period_s:
            self._due_at_s = now_s
        wait_s = max(0.0, self._due_at_s - now_s)
        self._due_at_s += self._period_s
        return wait_s


def capture(
    source: Source,
    producer: FrameSender,
    *,
    rate_fps: float | None,
    limit: int | None,
    stop: threading.Event,
    progress: Callable[[int], None],
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
) -> int:
    """Send frames of `source` until it ends, `limit` frames are sent or `stop` is set.

    Each frame is confirmed to the source once the producer has made it durable, so close the producer before the
    source. Errors of the source and the producer are raised.

    Args:
        source: Where the frames come from; its generator is closed at the end.
        producer: Where they are sent.
        rate_fps: Frames per second, evenly spaced, or None for as fast as the source yields them.
        limit: The number of frames after which to end, or None.
        stop: Ends the capture when it is set.
        progress: Called with the number of frames sent, after each.
        now: A monotonic clock, in seconds.
        wait: ``wait(stop, seconds)`` waits, and returns True when stopped.

    Returns:
        The number of frames sent.
    """
    sent = 0
    pacer = Pacer(rate_fps, now)
    with closing(source.frames(stop)) as frames:
        while (limit is None or sent < limit) and not stop.is_set():
            wait_s = pacer.wait_s()
            if wait_s > 0 and wait(stop, wait_s):
                break
            frame = next(frames, None)
            if frame is None:
                break
            SOURCE_LAST_FRAME.labels(frame.station).set_to_current_time()
            producer.send(frame, source.confirm)
            sent += 1
            progress(sent)
    return sent
