"""The source: anything that yields frames of one station."""

import threading
from collections.abc import Callable, Generator
from typing import Protocol

from ingest.frame import Frame
from ingest.settings import IngestSettings


class Source(Protocol):
    """A camera, folder, recording or simulated line, as `ingest.capture` reads it."""

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield frames until the source ends or `stop` is set; a live source yields its newest frame.

        Called once. The caller sets the rate by how often it requests the next frame; frames do not queue up in
        between. It closes the generator when it needs no more.

        Raises:
            SourceError: The source can't be read, and waiting does not help.
        """

    def confirm(self, frame: Frame) -> None:
        """Record that this frame is durable, on the bus or in the spool.

        Called from any thread, even after `frames` has ended. A source that remembers which frames it has yielded
        (a folder) remembers them here and nowhere else.
        """

    def close(self) -> None:
        """Release files and connections; safe to call twice.

        Call it after the producer's `close`, which confirms the last frames.
        """


OpenSource = Callable[[str, str, IngestSettings], Source]
"""Opens a source: ``open(location, station, settings)``. Raises `SourceError` when it can't be opened.

`location` is the text after the kind and the colon in an address such as ``folder:/mnt/camera1``.
"""
