"""The files that a folder source has read, stored across restarts in a small SQLite file."""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from foundation.clock import utc_now
from foundation.private_files import create_private_file, make_private_folder
from ingest.errors import SourceError
from ingest.sources.image_files import display_path

TABLE = """
CREATE TABLE IF NOT EXISTS taken (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, taken_at TEXT NOT NULL,
    ctime_ns INTEGER, digest BLOB
) WITHOUT ROWID
"""
ADDED_COLUMNS = {"ctime_ns": "INTEGER", "digest": "BLOB"}  # null in what an earlier version has recorded


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of one file; `path` is relative to the folder.

    `ctime_ns` is when its content or its attributes last changed, which no program can set: it shows that a file was
    written again with the size and the modification time that it had.
    """

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int = 0

    @property
    def identity(self) -> str:
        """Return a text that is the same for the same path, size and modification time on every start."""
        return f"{display_path(self.path)} {self.size} {self.mtime_ns}"


class ProcessedFiles:
    """Stores the newest version read of each file; safe to use from several threads.

    It is written without a sync per file: after a power cut the last few may be read again, and get the same frame ids
    by their identity.
    """

    def __init__(self, file: Path) -> None:
        """Open the SQLite file, and create it if it is missing; raise `SourceError` when it can't be used."""
        self.file = file
        self._lock = threading.Lock()
        try:
            make_private_folder(file.parent)
            create_private_file(file)
            self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(TABLE)
            existing = {row[1] for row in self._connection.execute("PRAGMA table_info(taken)")}
            for name in ADDED_COLUMNS.keys() - existing:
                self._connection.execute(f"ALTER TABLE taken ADD COLUMN {name} {ADDED_COLUMNS[name]}")
        except (OSError, sqlite3.Error) as error:
            raise SourceError(
                f"The folder source can't write {file} ({error}); make it writable, or change ingest.state_path."
            ) from error

    def contains(self, state: FileVersion) -> bool:
        """Return whether exactly this version was added."""
        row = self._find(state)
        return row is not None and row[0] in (None, state.ctime_ns)

    def contains_content(self, state: FileVersion, digest: bytes) -> bool:
        """Return whether a version of this path, size and modification time was added with this content."""
        row = self._find(state)
        return row is not None and row[1] == digest

    def add(self, state: FileVersion, digest: bytes | None = None) -> None:
        """Add this version in place of an earlier one; raise `sqlite3.Error` when the file can't be written."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO taken (path, size, mtime_ns, taken_at, ctime_ns, digest)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (os.fsencode(state.path), state.size, state.mtime_ns, utc_now().isoformat(), state.ctime_ns, digest),
            )

    def _find(self, state: FileVersion) -> tuple[int | None, bytes | None] | None:
        with self._lock:
            found: tuple[int | None, bytes | None] | None = self._connection.execute(
                "SELECT ctime_ns, digest FROM taken WHERE path = ? AND size = ? AND mtime_ns = ?",
                (os.fsencode(state.path), state.size, state.mtime_ns),
            ).fetchone()
        return found

    def remove_missing(self, added_before: datetime, is_missing: Callable[[Path], bool]) -> int:
        """Remove files that were added before a time and for which `is_missing` is true; return how many."""
        with self._lock:
            rows = self._connection.execute("SELECT path FROM taken WHERE taken_at < ?", (added_before.isoformat(),))
            old = [path for (path,) in rows if is_missing(Path(os.fsdecode(path)))]
            self._connection.execute("BEGIN")
            self._connection.executemany("DELETE FROM taken WHERE path = ?", [(path,) for path in old])
            self._connection.execute("COMMIT")
        return len(old)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()


def processed_files_path(state_path: Path, station: str, root: Path) -> Path:
    """Return the file for this station and folder: two stations may read one folder."""
    digest = hashlib.blake2b(station.encode() + b"\0" + os.fsencode(root.absolute()), digest_size=12).hexdigest()
    return state_path / f"folder-{digest}.sqlite"
