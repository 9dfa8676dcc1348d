"""A live camera: RTSP, or Motion JPEG over HTTP."""

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import av
import av.error
import structlog

from foundation.backoff import Backoff
from foundation.clock import Clock, utc_now
from foundation.threads import background_thread
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.metrics import FRAMES_DROPPED, SOURCE_RECONNECTS
from ingest.sources.video.decoding import StreamImage, describe_error, stream_images, video_stream, without_credentials

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
FIRST_RETRY_S, MAX_RETRY_S = 0.5, 30.0
STALE_AFTER_S = 1.0
BEHIND_AFTER_S = 2.0
SHORTEST_STEP_S = 0.005
READER_JOIN_TIMEOUT_S = 1.0
CLOCK_DRIFT = 0.001  # a camera's clock and ours may part by so much a second; no real clock is that bad

OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,tcp,rtp"},
    "rtsps": {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtsps,tls,tcp,rtp"},
    "http": {"protocol_whitelist": "http,tcp"},
    "https": {"protocol_whitelist": "https,tls,tcp,http"},
}
"""What FFmpeg is told for each kind of address."""

NEVER_GETS_BETTER = (
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.DecoderNotFoundError,
    av.error.ProtocolNotFoundError,
)

log = structlog.get_logger()


class LateFrameFilter:
    """Tells late pictures of one connection by the stream's own clock, against the best seen so far.

    The first pictures come out of a buffer, faster than the stream's clock runs: each betters the last by nearly a
    whole step, so it was late too. A picture that is in time betters the best by little or nothing.
    """

    def __init__(self) -> None:
        self._best_s = float("inf")
        self._last: tuple[float, float] | None = None

    def is_late(self, arrived_s: float, stream_s: float) -> bool:
        """Whether a picture that arrived at `arrived_s` (monotonic) and stands at `stream_s` is not live."""
        offset_s = arrived_s - stream_s
        if self._last is None:
            step_s, betters_by_s = 0.0, float("inf")
        else:
            step_s = stream_s - self._last[1]
            self._best_s += CLOCK_DRIFT * (arrived_s - self._last[0])
            betters_by_s = self._best_s - offset_s
        self._best_s = min(self._best_s, offset_s)
        self._last = arrived_s, stream_s
        return betters_by_s > max(step_s / 2, SHORTEST_STEP_S) or offset_s - self._best_s > BEHIND_AFTER_S


@dataclass(frozen=True, slots=True)
class _Arrival:
    picture: StreamImage
    at: datetime
    at_s: float


class _Newest:
    """One place for the newest arrival, shared by the reading thread and the one who asks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrival: _Arrival | None = None
        self._ended: Exception | None = None

    def put(self, arrival: _Arrival | None) -> None:
        """Put an arrival in place of what is there; None empties it, when the connection ended."""
        with self._changed:
            self._arrival = arrival
            self._changed.notify_all()

    def end(self, error: Exception) -> None:
        """Say that no more will come, and why."""
        with self._changed:
            self._ended = error
            self._changed.notify_all()

    def take(self, stop: threading.Event, now_s: Callable[[], float]) -> _Arrival | None:
        """Wait for an arrival that is not stale and take it out; None when stopped."""
        with self._changed:
            while not stop.is_set():
                if self._ended is not None:
                    raise self._ended
                arrival, self._arrival = self._arrival, None
                if arrival is not None and now_s() - arrival.at_s <= STALE_AFTER_S:
                    return arrival
                self._changed.wait(0.1)  # short, because `stop` can't notify
        return None


class Camera:
    """A live stream. A thread reads it all the time, so that the picture handed out is the newest, never a queued one.

    `captured_at` is the time of arrival. A picture is handed out once, and not when it came late or lay for a second.
    When the stream ends, is silent for `read_timeout_s` or stays late, it connects again, forever, with growing waits.
    """

    def __init__(
        self,
        address: str,
        station: str,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        backoff: Backoff | None = None,
        now: Clock = utc_now,
        now_s: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._address = address
        self._name = without_credentials(address)
        self._station = station
        self._read_timeout_s = read_timeout_s
        self._backoff = backoff or Backoff(FIRST_RETRY_S, MAX_RETRY_S, random.Random())  # noqa: S311 (jitter, no secret)
        self._now = now
        self._now_s = now_s
        self._wait = wait
        self._worked = False

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield the newest picture each time it is asked. Raises `SourceError` for an address that can never work."""
        newest = _Newest()
        # inside FFmpeg the reader can't be woken; it ends by itself when its timeout is up
        reader = background_thread(
            partial(self._read, newest), f"camera {self._name}", join_timeout_s=READER_JOIN_TIMEOUT_S
        )
        with reader:
            while (arrival := newest.take(stop, self._now_s)) is not None:
                yield Frame(
                    station=self._station,
                    captured_at=arrival.at,
                    image=arrival.picture.jpeg(),
                    content_type="image/jpeg",
                )

    def confirm(self, frame: Frame) -> None:
        """A live picture can't be had again, so there is nothing to remember."""

    def close(self) -> None:
        """The connection ends with `frames`."""

    def _read(self, newest: _Newest, stop: threading.Event) -> None:
        """Connect and read until let go; runs in its own thread."""
        try:
            while not stop.is_set():
                why = self._connect_and_read(newest, stop)
                newest.put(None)
                if stop.is_set():
                    return
                wait_s = self._backoff.next_s()
                SOURCE_RECONNECTS.labels(self._station).inc()
                log.warning("The camera is away; connecting again.", camera=self._name, why=why, in_s=round(wait_s, 1))
                self._wait(stop, wait_s)
        except Exception as error:  # noqa: BLE001 (handed to the thread that asks for frames, which raises it)
            newest.end(error)

    def _connect_and_read(self, newest: _Newest, stop: threading.Event) -> str:
        """Read one connection to its end and return why it ended."""
        scheme = urlsplit(self._address).scheme.lower()
        options = OPTIONS[scheme]
        has_clock = scheme.startswith("rtsp")  # Motion JPEG carries no times, FFmpeg makes them up
        try:
            container = av.open(self._address, options=dict(options), timeout=(OPEN_TIMEOUT_S, self._read_timeout_s))
            with closing(container):
                stream = video_stream(container, f"The camera {self._name}")
                delay = LateFrameFilter()
                in_time_s = self._now_s()
                for picture in stream_images(container, stream, self._count_corrupt):
                    if stop.is_set():
                        return "it was stopped"
                    arrived_s = self._now_s()
                    if has_clock and picture.time_s is not None and delay.is_late(arrived_s, picture.time_s):
                        if arrived_s - in_time_s > self._read_timeout_s:
                            return "its pictures come late and don't catch up"
                        continue
                    in_time_s = arrived_s
                    newest.put(_Arrival(picture, self._now(), arrived_s))
                    self._worked = True
                    self._backoff.reset()
        except av.error.FFmpegError as error:
            if isinstance(error, NEVER_GETS_BETTER) and not self._worked:
                raise SourceError(f"The camera {self._name} can't be opened: {describe_error(error)}.") from error
            return describe_error(error)
        return "the stream ended"

    def _count_corrupt(self) -> None:
        FRAMES_DROPPED.labels(self._station, "corrupt-picture").inc()
