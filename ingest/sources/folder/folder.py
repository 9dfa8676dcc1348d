"""A folder into which another program writes images."""

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path

import structlog

from foundation.clock import utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.metrics import FILES_IGNORED, FRAMES_DROPPED
from ingest.settings import IngestSettings
from ingest.sources.folder.events import FolderEvents, OpenFolderEvents, WatchedFolder
from ingest.sources.folder.files import folder_id, listing_error, modified_at, read_version, version_of
from ingest.sources.folder.processed_files import FileVersion, ProcessedFiles, processed_files_path
from ingest.sources.folder.settling import SettlingFile, UnwrittenParts, content_digest
from ingest.sources.image_files import CONTENT_TYPES, display_path
from ingest.sources.subfolders import Subfolders

RESCAN_INTERVAL_S = 2.0
RESCAN_PAUSE_FACTOR = 10  # a scan of t seconds is not repeated before 10 t, to spare slow network shares
RETRY_AFTER_S = 5.0
REREAD_INTERVAL_S = 1.0  # of a file that may lack a part
SLOW_TO_SETTLE_S = 60.0
REMOVE_AFTER = timedelta(days=30)

log = structlog.get_logger()


class Folder:
    """Yields the images in `root` and its subfolders, each once its size and time are unchanged for `settle_time_s`.

    File system events wake it early; it also rescans, so it works without them. `identity` is absolute path, size,
    modification time and content, `captured_at` the modification time, `part_id` the relative path.
    """

    def __init__(
        self,
        root: Path,
        station: str,
        processed: ProcessedFiles,
        *,
        settle_time_s: float,
        max_file_bytes: int,
        follow_links: bool = False,
        now_s: Callable[[], float] = time.monotonic,
        events: OpenFolderEvents = WatchedFolder,
    ) -> None:
        self._root = root
        self._absolute_root = display_path(root.absolute())
        self._station = station
        self._processed = processed
        self._settle_time_s = settle_time_s
        self._max_file_bytes = max_file_bytes
        self._now_s = now_s
        self._open_events = events
        self._settling: dict[Path, SettlingFile] = {}
        self._unwritten = UnwrittenParts()
        self._unconfirmed: dict[str, tuple[FileVersion, bytes]] = {}  # with its content's digest, by file
        self._ignored: set[Path] = set()
        self._is_ignoring_reported = False
        self._too_large: set[FileVersion] = set()
        self._subfolders = Subfolders(root, follow_links=follow_links)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield settled files, oldest first, until `stop`; wait while the folder is missing, which is logged once."""
        self._remove_missing()
        while self._wait_for_folder(stop):
            with self._open_events(self._root, stop) as events:
                yield from self._frames_of_folder(stop, events)

    def confirm(self, frame: Frame) -> None:
        """Record that this file was read; if that fails it is read again after a restart, with the same frame id."""
        file, _, digest = (frame.identity or "").rpartition(" ")
        unconfirmed = self._unconfirmed.get(file)  # of another digest where the file was written again since
        if unconfirmed is not None and unconfirmed[1].hex() == digest and self._record(*unconfirmed):
            self._unconfirmed.pop(file, None)

    def close(self) -> None:
        """Close the record of processed files."""
        self._processed.close()

    def _record(self, version: FileVersion, digest: bytes) -> bool:
        try:
            self._processed.add(version, digest)
        except sqlite3.Error as error:
            log.warning("a file that was read can't be recorded", file=display_path(version.path), error=str(error))
            return False
        return True

    def _wait_for_folder(self, stop: threading.Event) -> bool:
        """Return True once the folder can be listed, False when stopped."""
        is_reported = False
        while not stop.is_set():
            error = listing_error(self._root)
            if error is None:
                if is_reported:
                    log.info("the folder can be read again", folder=str(self._root))
                return True
            if not is_reported:
                log.warning("the folder can't be read; waiting for it", folder=str(self._root), error=error)
                is_reported = True
            stop.wait(RESCAN_INTERVAL_S)
        return False

    def _frames_of_folder(self, stop: threading.Event, events: FolderEvents) -> Generator[Frame, None, None]:
        """Yield frames until `stop`, or until the folder is missing or replaced by another one."""
        watched = folder_id(self._root)
        rescan_at_s = self._now_s()
        while not stop.is_set():
            started_s = self._now_s()
            if started_s >= rescan_at_s:
                if watched is None or folder_id(self._root) != watched:
                    return
                self._scan()
                rescan_at_s = started_s + max(RESCAN_INTERVAL_S, RESCAN_PAUSE_FACTOR * (self._now_s() - started_s))
            for path in self._due_paths():
                if stop.is_set():
                    return
                frame = self._read_frame(path)
                if frame is not None:
                    yield frame
            wake_at_s = min([rescan_at_s, *(settling.due_s for settling in self._settling.values())])
            for path in events.wait(max(0.0, wake_at_s - self._now_s())):
                self._check_event(path)

    def _scan(self) -> None:
        """Check every file, and discard the records of missing ones, so that memory does not grow over the years."""
        found = set(self._subfolders.files())
        for path in found:
            self._check_file(path)
        for path in self._settling.keys() - found:
            del self._settling[path]
        self._ignored &= found
        self._too_large = {version for version in self._too_large if self._root / version.path in found}

    def _check_event(self, path: Path) -> None:
        """Check what changed, unless only the rescan finds it: under another path of the folder, or a new link."""
        if path.is_relative_to(self._root) and self._subfolders.holds(path):
            for file in self._subfolders.files_below(path) if path.is_dir() else [path]:
                self._check_file(file)

    def _check_file(self, path: Path) -> None:
        """Start or continue to wait for a file to settle, unless it was read already or is no image file."""
        if any(part.startswith(".") for part in path.relative_to(self._root).parts):
            return
        if path.suffix.lower() not in CONTENT_TYPES:
            self._ignore(path)
            return
        try:
            status = path.stat()
        except OSError:
            self._settling.pop(path, None)
            self._subfolders.report_dangling(path)
            return
        version = version_of(path, self._root, status)
        settling = self._settling.get(path)
        if settling is not None and settling.version == version:
            return
        if not stat.S_ISREG(status.st_mode) or version in self._too_large or self._was_read(version):
            self._settling.pop(path, None)
        elif settling is None and not self._subfolders.leads_out(path):
            now_s = self._now_s()
            self._settling[path] = SettlingFile(version, now_s + self._settle_time_s, now_s)
        elif settling is not None:
            self._file_changed(settling, version)

    def _was_read(self, version: FileVersion) -> bool:
        unconfirmed = self._unconfirmed.get(self._name(version))
        return (unconfirmed is not None and unconfirmed[0] == version) or self._processed.contains(version)

    def _was_content_read(self, version: FileVersion, digest: bytes) -> bool:
        """Return whether a file that was read has changed in its attributes alone, and record these."""
        unconfirmed = self._unconfirmed.get(self._name(version))
        if unconfirmed is not None and unconfirmed[1] == digest:
            self._unconfirmed[self._name(version)] = version, digest
            return True
        is_known = self._processed.contains_content(version, digest)
        if is_known:
            self._record(version, digest)
        return is_known

    def _name(self, version: FileVersion) -> str:
        return f"{self._absolute_root}/{version.identity}"

    def _file_changed(self, settling: SettlingFile, version: FileVersion) -> None:
        now_s = self._now_s()
        settling.version = version
        settling.due_s = now_s + self._settle_time_s
        if not settling.is_reported and now_s - settling.first_seen_s > SLOW_TO_SETTLE_S:
            settling.is_reported = True
            log.warning(
                "a file is written again and again and never settles; write each image under its own name",
                file=display_path(version.path),
                settle_time_s=self._settle_time_s,
            )

    def _ignore(self, path: Path) -> None:
        if path in self._ignored:
            return
        if not path.is_file():
            self._subfolders.report_dangling(path)
            return
        if not self._is_ignoring_reported:
            self._is_ignoring_reported = True
            log.info("files without the suffix of an image are ignored", first=str(path), station=self._station)
        FILES_IGNORED.labels(self._station).inc()
        self._ignored.add(path)

    def _due_paths(self) -> list[Path]:
        now_s = self._now_s()
        due = [
            (settling.version.mtime_ns, path) for path, settling in self._settling.items() if settling.due_s <= now_s
        ]
        return [path for _, path in sorted(due)]

    def _read_frame(self, path: Path) -> Frame | None:
        """Read a file that is due; return None when it has changed, is gone, is too large or can't be read yet."""
        settling = self._settling[path]
        if self._subfolders.leads_out(path):  # it has become a link since
            del self._settling[path]
            return None
        try:
            version, image = read_version(path, self._root, self._max_file_bytes)
        except FileNotFoundError:
            if os.path.isdir(self._root):
                self._drop(path, "file-vanished", "a file was deleted before it was read")
            else:
                settling.due_s = self._now_s() + RETRY_AFTER_S
            return None
        except OSError as error:
            settling.due_s = self._now_s() + RETRY_AFTER_S
            if not settling.is_reported:
                settling.is_reported = True
                log.warning("a file can't be read; trying again", file=str(path), error=error.strerror)
            return None
        if version != settling.version or len(image) not in (version.size, 0):
            self._file_changed(settling, version)
            return None
        if version.size > self._max_file_bytes:
            self._too_large.add(version)
            self._drop(path, "file-too-big", f"a file is larger than {self._max_file_bytes} bytes")
            return None
        if self._unwritten.holds(settling, image, self._now_s()):
            settling.due_s = self._now_s() + max(self._settle_time_s, REREAD_INTERVAL_S)
            return None
        del self._settling[path]
        return self._frame(path, version, image)

    def _frame(self, path: Path, version: FileVersion, image: bytes) -> Frame | None:
        """Return the frame of a complete file; None when this content was read before."""
        digest = content_digest(image)
        if self._was_content_read(version, digest):
            return None
        self._unconfirmed[self._name(version)] = version, digest
        return Frame(
            station=self._station,
            captured_at=modified_at(version.mtime_ns),
            image=image,
            content_type=CONTENT_TYPES[path.suffix.lower()],
            part_id=display_path(version.path),
            identity=f"{self._name(version)} {digest.hex()}",
        )

    def _drop(self, path: Path, reason: str, event: str) -> None:
        del self._settling[path]
        FRAMES_DROPPED.labels(self._station, reason).inc()
        log.warning(event, file=str(path), station=self._station)

    def _remove_missing(self) -> None:
        """Remove old records of missing files; an empty folder may be a network share that is not mounted."""
        if listing_error(self._root) is None and any(self._root.iterdir()):
            before = utc_now() - REMOVE_AFTER
            self._processed.remove_missing(before, lambda path: not (self._root / path).exists())


def open_folder(location: str, station: str, settings: IngestSettings) -> Folder:
    """Open ``folder:PATH``; raise `SourceError` for a folder that can't be read and never was."""
    root = Path(location)
    file = processed_files_path(settings.state_path, station, root)
    error = listing_error(root)
    if error is not None and not file.exists():
        raise SourceError(f"The folder {root} can't be read ({error}); create it, or check its name and permissions.")
    return Folder(
        root,
        station,
        ProcessedFiles(file),
        settle_time_s=settings.settle_time_s,
        max_file_bytes=settings.max_memory_bytes,
        follow_links=settings.follow_links,
    )
