"""Replay: a labelled dataset on disk, as if a camera captured it now."""

import hashlib
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

from foundation.clock import Clock, utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.settings import IngestSettings
from ingest.sources.image_files import CONTENT_TYPES, display_path
from ingest.sources.subfolders import Subfolders


class Replay:
    """Yields the ``test`` part of a dataset in MVTec layout: ``test/good/…`` and ``test/<defect>/…``.

    Each image is yielded once, good and defective ones mixed in an order that depends only on their relative paths and
    `seed`, so it is the same on every machine. `truth` is the folder's name, `part_id` the relative path, and
    `captured_at` the time at which the image is yielded.
    """

    def __init__(self, root: Path, station: str, seed: int, now: Clock) -> None:
        """List the images; raise `SourceError` when `root` is not such a dataset."""
        self._root = root
        self._station = station
        self._now = now
        self._images = _shuffled(root, seed)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield each image once, then end; raise `SourceError` for one that can't be read; none is skipped."""
        for relative in self._images:
            if stop.is_set():
                return
            path = self._root / relative
            try:
                image = path.read_bytes()
            except OSError as error:
                raise SourceError(f"The dataset image {path} can't be read: {error.strerror}.") from error
            yield Frame(
                station=self._station,
                captured_at=self._now(),
                image=image,
                content_type=CONTENT_TYPES[relative.suffix.lower()],
                part_id=display_path(relative),
                truth=display_path(relative).split("/")[1],
            )

    def confirm(self, frame: Frame) -> None:
        """Do nothing: a replay starts from the beginning each time."""

    def close(self) -> None:
        """Do nothing: no file stays open between images."""


def _shuffled(root: Path, seed: int) -> list[Path]:
    """Return the images' relative paths, ordered by a hash of seed and path."""
    if not (root / "test").is_dir():
        raise SourceError(
            f"{root} is not a dataset in MVTec layout; it needs folders {root / 'test' / 'good'} and test/<defect>."
        )
    found = [path.relative_to(root) for path in _test_images(root / "test") if path.parent != root / "test"]
    if not found:
        raise SourceError(f"There is no image in {root / 'test'}; it needs images in test/good and test/<defect>.")
    return sorted(found, key=lambda path: hashlib.blake2b(f"{seed}\0{display_path(path)}".encode()).digest())


def _test_images(folder: Path) -> Iterator[Path]:
    subfolders = Subfolders(folder, follow_links=True)  # a dataset is chosen by who starts the command
    for path in subfolders.files():
        if path.suffix.lower() not in CONTENT_TYPES:
            subfolders.report_dangling(path)
        elif not path.name.startswith("."):
            yield path


def open_replay(location: str, station: str, settings: IngestSettings) -> Replay:
    """Open ``replay:PATH``; raise `SourceError` when it is not a dataset."""
    del settings  # a replay needs none
    return Replay(Path(location), station, seed=0, now=utc_now)
