"""The source: anything that yields frames of one station."""

import threading
from collections.abc import Generator
from typing import Protocol

from ingest.frame import Frame


class Source(Protocol):
    """A camera, folder, recording or simulated line, behind one way of asking for frames."""

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield frames until the source ends or `stop` is set; a live source hands out its newest frame.

        Called once. The caller sets the pace by how often it asks for the next frame, nothing piles up meanwhile, and
        closes the generator when it has had enough.
        Raises `SourceError` when the source can't be read and never will be.
        """

    def confirm(self, frame: Frame) -> None:
        """Note that this frame is durable, on the bus or in the spool; called from any thread, even after `frames`.

        A source that remembers what it took (a folder) remembers here and nowhere else.
        """

    def close(self) -> None:
        """Let go of files and connections; safe to call twice. Call it after the producer's `close`, which confirms."""
