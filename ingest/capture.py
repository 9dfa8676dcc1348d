"""Capture: take frames from a source at a pace and hand them to the producer."""

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
    """What capture needs of a producer: `ingest.producer.producer.Producer` fits."""

    def send(self, frame: Frame, durable: Callable[[Frame], None]) -> UUID: ...


class Pacer:
    """Evenly spaced turns on a monotonic clock.

    Turn k is due at start + k / rate, so small delays don't add up. Who is more than one turn late (the source was
    silent, the bus was away) starts a new schedule: a pause is not followed by a burst.
    """

    def __init__(self, rate_fps: float | None, now: Callable[[], float] = time.monotonic) -> None:
        if rate_fps is not None and not 0 < rate_fps < float("inf"):
            raise ValueError(f"A rate is a number of frames per second above 0, not {rate_fps}.")
        self._period_s = 0.0 if rate_fps is None else 1 / rate_fps
        self._now = now
        self._due_at_s: float | None = None

    def wait_s(self) -> float:
        """Take the next turn and return the seconds until it is due, 0 when it is due already."""
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
    """Send frames of `source` until it ends, `limit` frames went out or `stop` is set; return how many were sent.

    `rate_fps` spaces them evenly (None: as fast as they come); `progress` gets the count after each. Each frame is
    confirmed to the source once the producer says it is durable, so close the producer before the source.
    `wait(stop, seconds)` returns True when stopped. Errors of the source and the producer pass through.
    """
    sent = 0
    pace = Pacer(rate_fps, now)
    with closing(source.frames(stop)) as frames:
        while (limit is None or sent < limit) and not stop.is_set():
            wait_s = pace.wait_s()
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
