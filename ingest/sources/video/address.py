"""The address of a video: a file on disk, or the URL of a live camera."""

from pathlib import Path
from urllib.parse import urlsplit

from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.video.camera import FFMPEG_OPTIONS, Camera
from ingest.sources.video.recording import Recording


def open_video(location: str, station: str, settings: IngestSettings) -> Recording | Camera:
    """Open ``video:PATH`` for a recording, or ``video:rtsp://…`` and ``video:http://…`` for a live camera.

    Raises:
        SourceError: The file does not exist, or the URL's scheme is not supported.
    """
    del settings  # a video needs none
    scheme = urlsplit(location).scheme.lower() if "://" in location else ""
    if scheme in FFMPEG_OPTIONS:
        return Camera(location, station)
    if scheme:
        supported = ", ".join(f"{name}://" for name in FFMPEG_OPTIONS)
        raise SourceError(f"A camera's address begins with one of {supported}, not {scheme}://.")
    path = Path(location)
    if not path.is_file():
        raise SourceError(f"There is no video file {path}; check its name, or give a camera's address (rtsp://…).")
    return Recording(path, station)
