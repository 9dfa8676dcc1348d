"""Video: a recording on disk, or the address of a live camera."""

import threading
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import av
import av.error
import structlog

from foundation.clock import Clock, utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.metrics import FRAMES_DROPPED
from ingest.settings import IngestSettings
from ingest.sources.video import camera
from ingest.sources.video.decoding import describe_error, stream_images, video_stream

log = structlog.get_logger()


class Recording:
    """A video file, every picture in order, then the end.

    `captured_at` advances as the stream's own clock does, and ends at the moment the file was opened: a recording lies
    in the past, so no picture of it claims to come from the future.
    """

    def __init__(self, path: Path, station: str, now: Clock = utc_now) -> None:
        self._path = path
        self._station = station
        self._now = now
        self._name = f"The video {path}"

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield every picture that can be decoded. Raises `SourceError` when none can, or when reading breaks off."""
        count = 0
        try:
            with closing(av.open(str(self._path), options={"protocol_whitelist": "file"})) as container:
                stream = video_stream(container, self._name)
                length_s = 0.0 if container.duration is None else container.duration / av.time_base
                began_at = self._now() - timedelta(seconds=length_s)
                rate = stream.average_rate or stream.guessed_rate
                step_s = 1 / float(rate) if rate else 0.0
                first_s: float | None = None
                elapsed_s = -step_s
                for picture in stream_images(container, stream, self._count_corrupt):
                    if stop.is_set():
                        return
                    if first_s is None:
                        first_s = picture.time_s
                    if picture.time_s is None or first_s is None:
                        elapsed_s += step_s
                    else:
                        elapsed_s = max(elapsed_s, picture.time_s - first_s)
                    count += 1
                    captured_at = began_at + timedelta(seconds=elapsed_s)
                    yield Frame(self._station, captured_at, picture.jpeg(), "image/jpeg", part_id=f"{count:06d}")
        except av.error.FFmpegError as error:
            raise SourceError(f"{self._name} can't be read after {count} pictures: {describe_error(error)}.") from error
        if count == 0:
            raise SourceError(f"{self._name} holds no picture that can be decoded.")

    def confirm(self, frame: Frame) -> None:
        """A recording remembers nothing: it begins anew each time."""

    def close(self) -> None:
        """The file is closed when `frames` ends."""

    def _count_corrupt(self) -> None:
        FRAMES_DROPPED.labels(self._station, "corrupt-picture").inc()


def open_video(place: str, station: str, settings: IngestSettings) -> "Recording | camera.Camera":
    """Open ``video:PATH``, or ``video:rtsp://…`` and ``video:http://…`` for a live camera; it needs no settings."""
    del settings
    scheme = urlsplit(place).scheme.lower() if "://" in place else ""
    if scheme in camera.OPTIONS:
        return camera.Camera(place, station)
    if scheme:
        known = ", ".join(f"{name}://" for name in camera.OPTIONS)
        raise SourceError(f"A camera's address begins with one of {known}, not {scheme}://.")
    path = Path(place)
    if not path.is_file():
        raise SourceError(f"There is no video file {path}; check its name, or give a camera's address (rtsp://…).")
    return Recording(path, station)
