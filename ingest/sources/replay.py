"""Replay: a labelled dataset on disk, shown as if a camera took it now."""

import hashlib
import os
import threading
from collections.abc import Generator
from pathlib import Path

from foundation.clock import Clock, utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.settings import IngestSettings
from ingest.sources.image_files import CONTENT_TYPES, display_path


class Replay:
    """The ``test`` part of a dataset in MVTec layout: ``test/good/…`` and ``test/<defect>/…``.

    All pictures come once, good and defective mixed in an order that depends only on their relative paths and `seed`,
    so the same dataset gives the same order on every machine. `truth` is the folder's name, `part_id` the relative
    path, `captured_at` the moment the picture is handed out.
    """

    def __init__(self, root: Path, station: str, seed: int, now: Clock) -> None:
        self._root = root
        self._station = station
        self._now = now
        self._pictures = _in_order(root, seed)

    def __len__(self) -> int:
        return len(self._pictures)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield each picture once, then end. Raises `SourceError` for one that can't be read: none is left out."""
        for relative in self._pictures:
            if stop.is_set():
                return
            path = self._root / relative
            try:
                image = path.read_bytes()
            except OSError as error:
                raise SourceError(f"The dataset picture {path} can't be read: {error.strerror}.") from error
            yield Frame(
                station=self._station,
                captured_at=self._now(),
                image=image,
                content_type=CONTENT_TYPES[relative.suffix.lower()],
                part_id=display_path(relative),
                truth=display_path(relative).split("/")[1],
            )

    def confirm(self, frame: Frame) -> None:
        """A replay remembers nothing: it begins anew each time."""

    def close(self) -> None:
        """Nothing is held open between pictures."""


def _in_order(root: Path, seed: int) -> list[Path]:
    """Return the pictures' relative paths, ordered by a hash of seed and path."""
    if not (root / "test").is_dir():
        raise SourceError(
            f"{root} is not a dataset in MVTec layout; it needs folders {root / 'test' / 'good'} and test/<defect>."
        )
    found = [
        relative
        for folder, _, names in os.walk(root / "test")
        for name in names
        if not name.startswith(".")
        and (relative := (Path(folder) / name).relative_to(root)).suffix.lower() in CONTENT_TYPES
        and len(relative.parts) > 2
    ]
    if not found:
        raise SourceError(f"There is no picture in {root / 'test'}; it needs images in test/good and test/<defect>.")
    return sorted(found, key=lambda path: hashlib.blake2b(f"{seed}\0{display_path(path)}".encode()).digest())


def open_replay(place: str, station: str, settings: IngestSettings) -> Replay:
    """Open ``replay:PATH``; it needs no settings."""
    del settings
    return Replay(Path(place), station, seed=0, now=utc_now)
