"""A source of another package."""

import threading
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from ingest.frame import Frame
from ingest.settings import IngestSettings


class ExampleSource:
    """Publishes one image file again and again."""

    def __init__(self, image: bytes, station: str) -> None:
        """Publish these bytes for this station."""
        self._image, self._station = image, station

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield the image until `stop` is set."""
        while not stop.is_set():
            yield Frame(self._station, datetime.now(UTC), self._image, "image/png")

    def confirm(self, frame: Frame) -> None:
        """Do nothing: there is no position to remember."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


def open_example(location: str, station: str, settings: IngestSettings) -> ExampleSource:
    """Open the image file at `location`."""
    return ExampleSource(Path(location).read_bytes(), station)
