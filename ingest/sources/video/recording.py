"""A video file, frame by frame."""

import threading
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import av
import av.error
import structlog

from foundation.clock import Clock, utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.metrics import FRAMES_DROPPED
from ingest.sources.video.decoding import describe_error, stream_images, video_stream

log = structlog.get_logger()


class Recording:
    """Yields every frame of a video file in order, then ends.

    `captured_at` advances with the stream's timestamps and ends at the moment when the file was opened: a recording
    was made in the past, so no frame of it has a time in the future. `part_id` is the frame's number, from 000001.
    """

    def __init__(self, path: Path, station: str, now: Clock = utc_now) -> None:
        """Open nothing yet; `frames` does."""
        self._path = path
        self._station = station
        self._now = now
        self._name = f"The video {path}"

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield every frame that can be decoded, upright, as JPEG.

        Raises:
            SourceError: No frame can be decoded, or reading fails before the end.
        """
        count = 0
        try:
            with closing(av.open(str(self._path), options={"protocol_whitelist": "file"})) as container:
                stream = video_stream(container, self._name)
                duration_s = 0.0 if container.duration is None else container.duration / av.time_base
                started_at = self._now() - timedelta(seconds=duration_s)
                rate = stream.average_rate or stream.guessed_rate
                step_s = 1 / float(rate) if rate else 0.0
                first_s: float | None = None
                elapsed_s = -step_s
                for image in stream_images(container, stream, self._count_corrupt):
                    if stop.is_set():
                        return
                    if first_s is None:
                        first_s = image.time_s
                    if image.time_s is None or first_s is None:
                        elapsed_s += step_s
                    else:
                        elapsed_s = max(elapsed_s, image.time_s - first_s)
                    count += 1
                    captured_at = started_at + timedelta(seconds=elapsed_s)
                    yield Frame(
                        station=self._station,
                        captured_at=captured_at,
                        image=image.jpeg(),
                        content_type="image/jpeg",
                        part_id=f"{count:06d}",
                        picture_problem=image.picture_problem,
                    )
        except av.error.FFmpegError as error:
            raise SourceError(f"{self._name} can't be read after {count} frames: {describe_error(error)}.") from error
        if count == 0:
            raise SourceError(f"{self._name} has no frame that can be decoded.")

    def confirm(self, frame: Frame) -> None:
        """Do nothing: a recording starts from the beginning each time."""

    def close(self) -> None:
        """Do nothing: the file is closed when `frames` ends."""

    def _count_corrupt(self) -> None:
        FRAMES_DROPPED.labels(self._station, "corrupt-picture").inc()
