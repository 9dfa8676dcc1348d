"""A live camera: RTSP, or Motion JPEG over HTTP."""

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from urllib.error import HTTPError
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
from ingest.sources.video.http_stream import (
    HTTP_ERRORS,
    HTTP_SCHEMES,
    REFUSED,
    describe_http_error,
    is_multipart,
    is_text,
    open_http,
    part_images,
)
from ingest.sources.video.latency import LateFrameFilter

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
FIRST_RETRY_S, MAX_RETRY_S = 0.5, 30.0
STALE_AFTER_S = 1.0
READER_JOIN_TIMEOUT_S = 1.0
STOP_POLL_INTERVAL_S = 0.1

FFMPEG_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,tcp,rtp"},
    "rtsps": {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtsps,tls,tcp,rtp"},
    "http": {"protocol_whitelist": "http,tcp"},
    "https": {"protocol_whitelist": "https,tls,tcp,http"},
}
"""FFmpeg's options by the scheme of the camera's address."""

PERMANENT_ERRORS = (
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.DecoderNotFoundError,
    av.error.ProtocolNotFoundError,
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Arrival:
    image: StreamImage
    arrived_at: datetime
    arrived_s: float  # on the monotonic clock


class _LatestArrival:
    """Holds the newest arrival for the thread that requests frames; the reading thread replaces it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrival: _Arrival | None = None
        self._error: Exception | None = None

    def put(self, arrival: _Arrival) -> None:
        """Replace the arrival."""
        with self._changed:
            self._arrival = arrival
            self._changed.notify_all()

    def clear(self) -> None:
        """Discard the arrival, because its connection has ended."""
        with self._changed:
            self._arrival = None

    def fail(self, error: Exception) -> None:
        """End with an error, which `take` raises."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def take(self, stop: threading.Event, now_s: Callable[[], float]) -> _Arrival | None:
        """Wait for an arrival that is not stale, remove it and return it; return None once `stop` is set."""
        with self._changed:
            while not stop.is_set():
                if self._error is not None:
                    raise self._error
                arrival, self._arrival = self._arrival, None
                if arrival is not None and now_s() - arrival.arrived_s <= STALE_AFTER_S:
                    return arrival
                self._changed.wait(STOP_POLL_INTERVAL_S)  # `stop` can't notify
        return None


class Camera:
    """Yields the newest frame of a live stream, which a thread reads all the time so that no frame waits in a queue.

    `captured_at` is the time of arrival. A frame is yielded once, and not at all when it arrived late or is older than
    a second. When the stream ends, is silent for `read_timeout_s` or stays late, the camera reconnects, without end and
    with growing waits between the attempts.
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
        """Connect to nothing yet; `frames` does."""
        self._address = address
        self._name = without_credentials(address)
        self._station = station
        self._read_timeout_s = read_timeout_s
        self._backoff = backoff or Backoff(FIRST_RETRY_S, MAX_RETRY_S, random.Random())  # noqa: S311 (jitter, no secret)
        self._now = now
        self._now_s = now_s
        self._wait = wait
        self._has_connected = False

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield the newest frame each time the caller requests one.

        Raises:
            SourceError: The address can never work: wrong credentials, or a codec or protocol without support.
        """
        latest = _LatestArrival()
        # FFmpeg can't be interrupted: a reader that is inside it ends by itself when FFmpeg's timeout is over.
        with background_thread(
            partial(self._read, latest), f"camera {self._name}", join_timeout_s=READER_JOIN_TIMEOUT_S
        ):
            while (arrival := latest.take(stop, self._now_s)) is not None:
                yield Frame(
                    station=self._station,
                    captured_at=arrival.arrived_at,
                    image=arrival.image.jpeg(),
                    content_type="image/jpeg",
                    picture_problem=arrival.image.picture_problem,
                )

    def confirm(self, frame: Frame) -> None:
        """Do nothing: a live frame can't be captured again."""

    def close(self) -> None:
        """Do nothing: the connection ends with `frames`."""

    def _read(self, latest: _LatestArrival, stop: threading.Event) -> None:
        """Connect and read until stopped; runs in its own thread."""
        try:
            while not stop.is_set():
                reason = self._read_connection(latest, stop)
                latest.clear()
                if stop.is_set():
                    return
                wait_s = self._backoff.next_s()
                SOURCE_RECONNECTS.labels(self._station).inc()
                log.warning("the camera is unavailable; reconnecting", camera=self._name, reason=reason, wait_s=wait_s)
                self._wait(stop, wait_s)
        except Exception as error:  # noqa: BLE001 (raised in the thread that requests frames)
            latest.fail(error)

    def _read_connection(self, latest: _LatestArrival, stop: threading.Event) -> str:
        """Read one connection to its end and return why it ended.

        Raises:
            SourceError: The camera has never answered, and will not until a person changes something.
        """
        try:
            if urlsplit(self._address).scheme.lower() in HTTP_SCHEMES:
                with closing(open_http(self._address, self._read_timeout_s)) as response:
                    if is_multipart(response):
                        return self._follow(part_images(response, self._count_corrupt), latest, stop)
                    if is_text(response):
                        return self._refused("it answers with a page of text, no video; check its path")
            return self._read_container(latest, stop)
        except av.error.FFmpegError as error:
            reason = describe_error(error)
            return self._refused(reason) if isinstance(error, PERMANENT_ERRORS) else reason
        except HTTP_ERRORS as error:
            reason = describe_http_error(error)
            if not isinstance(error, HTTPError):
                return reason
            error.close()
            return self._refused(reason) if error.code in REFUSED else reason

    def _read_container(self, latest: _LatestArrival, stop: threading.Event) -> str:
        """Read a stream of a format and protocol that FFmpeg knows."""
        scheme = urlsplit(self._address).scheme.lower()
        container = av.open(
            self._address, options=dict(FFMPEG_OPTIONS[scheme]), timeout=(OPEN_TIMEOUT_S, self._read_timeout_s)
        )
        with closing(container):
            stream = video_stream(container, f"The camera {self._name}")
            return self._follow(stream_images(container, stream, self._count_corrupt), latest, stop)

    def _follow(self, images: Iterator[StreamImage], latest: _LatestArrival, stop: threading.Event) -> str:
        """Hand over each image that is live until there are no more, and return why."""
        has_timestamps = urlsplit(self._address).scheme.lower().startswith("rtsp")  # FFmpeg makes up those of others
        late_frames = LateFrameFilter()
        in_time_s = self._now_s()
        for image in images:
            if stop.is_set():
                return "stopped"
            arrived_s = self._now_s()
            if has_timestamps and image.time_s is not None and late_frames.is_late(arrived_s, image.time_s):
                if arrived_s - in_time_s > self._read_timeout_s:
                    return "its frames arrive late and do not catch up"
                continue
            in_time_s = arrived_s
            latest.put(_Arrival(image, self._now(), arrived_s))
            self._has_connected = True
            self._backoff.reset()
        return "the stream ended"

    def _refused(self, reason: str) -> str:
        """Return the reason; raise `SourceError` with it where the camera has never answered otherwise."""
        if not self._has_connected:
            raise SourceError(f"The camera {self._name} can't be opened: {reason}.")
        return reason

    def _count_corrupt(self) -> None:
        FRAMES_DROPPED.labels(self._station, "corrupt-picture").inc()
