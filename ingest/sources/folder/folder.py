"""A folder that something else drops images into."""

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from foundation.clock import EPOCH, from_epoch_us, utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.metrics import FILES_IGNORED, FRAMES_DROPPED
from ingest.settings import IngestSettings
from ingest.sources.folder.events import FolderEvents, OpenFolderEvents, WatchedFolder
from ingest.sources.folder.processed_files import FileVersion, ProcessedFiles, processed_files_path
from ingest.sources.image_files import CONTENT_TYPES, display_path

RESCAN_EVERY_S = 2.0
RESCAN_SHARE = 10  # a scan that took t seconds is not repeated before 10 t: slow network shares are not hammered
RETRY_AFTER_S = 5.0
SLOW_TO_SETTLE_S = 60.0
FORGET_AFTER = timedelta(days=30)

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    """A file that was seen and not taken yet; times are on the source's monotonic clock."""

    state: FileVersion
    due_s: float
    first_seen_s: float
    said: bool = False


class Folder:
    """Images in `root` and its subfolders, each taken once it stood unchanged (size and time) for `settle_time_s`.

    Events of the file system wake it early; a rescan runs all the same, so none is needed. `identity` is relative
    path, size and modification time, `captured_at` the modification time, `part_id` the relative path.
    """

    def __init__(
        self,
        root: Path,
        station: str,
        memory: ProcessedFiles,
        *,
        settle_time_s: float,
        max_file_bytes: int,
        now_s: Callable[[], float] = time.monotonic,
        events: OpenFolderEvents = WatchedFolder,
    ) -> None:
        self._root = root
        self._station = station
        self._memory = memory
        self._settle_time_s = settle_time_s
        self._max_file_bytes = max_file_bytes
        self._now_s = now_s
        self._open_events = events
        self._waiting: dict[Path, _Waiting] = {}
        self._handed_out: dict[str, FileVersion] = {}
        self._ignored: set[Path] = set()
        self._said_ignored = False
        self._too_big: set[FileVersion] = set()
        self._not_listed: set[Path] = set()

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield settled files, oldest first, until `stop`; while the folder is gone it waits and says so once."""
        self._forget_gone()
        while self._wait_until_there(stop):
            with self._open_events(self._root, stop) as events:
                yield from self._frames_while_there(stop, events)

    def confirm(self, frame: Frame) -> None:
        """Remember for good that this file was taken; when that fails it is taken again after a restart, same id."""
        state = self._handed_out.get(frame.identity or "")
        if state is None:
            return
        try:
            self._memory.remember(state)
        except sqlite3.Error as error:
            log.warning("A taken file can't be remembered.", file=display_path(state.path), why=str(error))
        else:
            del self._handed_out[state.identity]

    def close(self) -> None:
        """Close the memory."""
        self._memory.close()

    def _wait_until_there(self, stop: threading.Event) -> bool:
        """Return True once the folder can be listed, False when stopped."""
        said = False
        while not stop.is_set():
            why = _why_not_listed(self._root)
            if why is None:
                if said:
                    log.info("The folder is back.", folder=str(self._root))
                return True
            if not said:
                log.warning("The folder can't be read; waiting for it.", folder=str(self._root), why=why)
                said = True
            stop.wait(RESCAN_EVERY_S)
        return False

    def _frames_while_there(self, stop: threading.Event, events: FolderEvents) -> Generator[Frame, None, None]:
        """Yield frames until `stop`, or until the folder vanishes or another one stands in its place."""
        watched = _place_on_disk(self._root)
        rescan_at_s = self._now_s()
        while not stop.is_set():
            began_s = self._now_s()
            if began_s >= rescan_at_s:
                if watched is None or _place_on_disk(self._root) != watched:
                    return
                self._scan()
                rescan_at_s = began_s + max(RESCAN_EVERY_S, RESCAN_SHARE * (self._now_s() - began_s))
            for path in self._due():
                if stop.is_set():
                    return
                frame = self._take(path)
                if frame is not None:
                    yield frame
            wake_at_s = min([rescan_at_s, *(waiting.due_s for waiting in self._waiting.values())])
            for path in events.wait(max(0.0, wake_at_s - self._now_s())):
                self._look_below(path) if path.is_dir() else self._look_at(path)

    def _scan(self) -> None:
        """Look at every file, and let go of what is gone, so that nothing grows over the years."""
        found = self._look_below(self._root)
        for path in self._waiting.keys() - found:
            del self._waiting[path]
        self._ignored &= found
        self._too_big = {state for state in self._too_big if self._root / state.path in found}

    def _look_below(self, folder: Path) -> set[Path]:
        """Look at the files in a folder and its subfolders, hidden ones and links to folders left out."""
        found: set[Path] = set()
        for parent, folders, names in os.walk(folder, onerror=self._cannot_list):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(parent, name)
                self._look_at(path)
                found.add(path)
        return found

    def _cannot_list(self, error: OSError) -> None:
        folder = Path(error.filename)
        if folder not in self._not_listed:
            self._not_listed.add(folder)
            log.warning("A subfolder can't be read; trying again.", folder=str(folder), why=error.strerror)

    def _look_at(self, path: Path) -> None:
        """Begin or go on waiting for a file to settle, unless it was taken already or is none of ours."""
        if not path.is_relative_to(self._root):  # an event that names the folder by another path; the rescan sees it
            return
        if any(part.startswith(".") for part in path.relative_to(self._root).parts):
            return
        if path.suffix.lower() not in CONTENT_TYPES:
            self._ignore(path)
            return
        try:
            status = path.stat()
        except OSError:
            self._waiting.pop(path, None)  # gone, or a dangling link: nothing to take
            return
        state = FileVersion(path.relative_to(self._root), status.st_size, status.st_mtime_ns)
        waiting = self._waiting.get(path)
        if waiting is not None and waiting.state == state:
            return
        if not stat.S_ISREG(status.st_mode) or state in self._too_big or self._was_taken(state):
            self._waiting.pop(path, None)
        elif waiting is None:
            now_s = self._now_s()
            self._waiting[path] = _Waiting(state, now_s + self._settle_time_s, now_s)
        else:
            self._changed(waiting, state)

    def _was_taken(self, state: FileVersion) -> bool:
        return state.identity in self._handed_out or self._memory.knows(state)

    def _changed(self, waiting: _Waiting, state: FileVersion) -> None:
        now_s = self._now_s()
        waiting.state = state
        waiting.due_s = now_s + self._settle_time_s
        if not waiting.said and now_s - waiting.first_seen_s > SLOW_TO_SETTLE_S:
            waiting.said = True
            log.warning(
                "A file is written again and again and never settles; write each picture under its own name.",
                file=display_path(state.path),
                settle_time_s=self._settle_time_s,
            )

    def _ignore(self, path: Path) -> None:
        if path in self._ignored or not path.is_file():
            return
        if not self._said_ignored:
            self._said_ignored = True
            log.info("Files without an image's name ending are ignored.", first=str(path), station=self._station)
        FILES_IGNORED.labels(self._station).inc()
        self._ignored.add(path)

    def _due(self) -> list[Path]:
        now_s = self._now_s()
        due = [(waiting.state.mtime_ns, path) for path, waiting in self._waiting.items() if waiting.due_s <= now_s]
        return [path for _, path in sorted(due)]

    def _take(self, path: Path) -> Frame | None:
        """Read one file that is due; None when it changed, is gone, is too big or can't be read yet."""
        waiting = self._waiting[path]
        try:
            state, image = _read(path, self._root, self._max_file_bytes)
        except FileNotFoundError:
            if os.path.isdir(self._root):
                self._drop(path, "file-vanished", "A file was deleted before it was taken.")
            else:
                waiting.due_s = self._now_s() + RETRY_AFTER_S
            return None
        except OSError as error:
            waiting.due_s = self._now_s() + RETRY_AFTER_S
            if not waiting.said:
                waiting.said = True
                log.warning("A file can't be read; trying again.", file=str(path), why=error.strerror)
            return None
        if state != waiting.state or len(image) not in (state.size, 0):
            self._changed(waiting, state)
            return None
        if state.size > self._max_file_bytes:
            self._too_big.add(state)
            self._drop(path, "file-too-big", f"A file is larger than {self._max_file_bytes} bytes.")
            return None
        del self._waiting[path]
        self._handed_out[state.identity] = state
        return Frame(
            station=self._station,
            captured_at=_captured_at(state.mtime_ns),
            image=image,
            content_type=CONTENT_TYPES[path.suffix.lower()],
            part_id=display_path(state.path),
            identity=state.identity,
        )

    def _drop(self, path: Path, reason: str, sentence: str) -> None:
        del self._waiting[path]
        FRAMES_DROPPED.labels(self._station, reason).inc()
        log.warning(sentence, file=str(path), station=self._station)

    def _forget_gone(self) -> None:
        """Drop old memories of files that no longer exist; an empty folder may be a share that is not mounted."""
        if _why_not_listed(self._root) is None and any(self._root.iterdir()):
            before = utc_now() - FORGET_AFTER
            self._memory.forget(before, lambda path: not (self._root / path).exists())


def _read(path: Path, root: Path, max_bytes: int) -> tuple[FileVersion, bytes]:
    """Return a file's bytes, none of a file above `max_bytes`, and its state after they were read."""
    with path.open("rb") as file:
        fits = os.fstat(file.fileno()).st_size <= max_bytes
        image = file.read(max_bytes + 1) if fits else b""
        status = os.fstat(file.fileno())
    return FileVersion(path.relative_to(root), status.st_size, status.st_mtime_ns), image


def _captured_at(mtime_ns: int) -> datetime:
    try:
        return from_epoch_us(mtime_ns // 1000)
    except OverflowError:  # a hostile time stamp
        return EPOCH


def _why_not_listed(folder: Path) -> str | None:
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        return error.strerror
    return None


def _place_on_disk(folder: Path) -> tuple[int, int] | None:
    """Device and inode, by which a folder that was deleted and made anew is told from the old one."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_folder(place: str, station: str, settings: IngestSettings) -> Folder:
    """Open ``folder:PATH``; a folder that is away is waited for only if it was read before."""
    root = Path(place)
    file = processed_files_path(settings.state_path, station, root)
    why = _why_not_listed(root)
    if why is not None and not file.exists():
        raise SourceError(f"The folder {root} can't be read ({why}); make it, or check its name and who may read it.")
    return Folder(
        root,
        station,
        ProcessedFiles(file),
        settle_time_s=settings.settle_time_s,
        max_file_bytes=settings.max_memory_bytes,
    )
