"""What a folder source took, remembered across restarts in a small SQLite file."""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from foundation.clock import utc_now
from ingest.errors import SourceError
from ingest.sources.image_files import display_path

TABLE = """
CREATE TABLE IF NOT EXISTS taken (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, taken_at TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of one file: `path` is relative to the folder."""

    path: Path
    size: int
    mtime_ns: int

    @property
    def identity(self) -> str:
        """The same text for the same version, on every start."""
        return f"{display_path(self.path)} {self.size} {self.mtime_ns}"


class ProcessedFiles:
    """The newest version taken of each file; safe to use from several threads.

    Write-ahead logging without a disk flush per file: after a power cut the last few may be taken again, and their
    identity gives them the same frame ids.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise SourceError(
                f"The folder source can't keep its memory in {file} ({error}); make that place writable, or set "
                "ingest.state_path to another."
            ) from error

    def knows(self, state: FileVersion) -> bool:
        """Whether exactly this version was remembered."""
        with self._lock:
            row = self._connection.execute(
                "SELECT 1 FROM taken WHERE path = ? AND size = ? AND mtime_ns = ?",
                (os.fsencode(state.path), state.size, state.mtime_ns),
            ).fetchone()
        return row is not None

    def remember(self, state: FileVersion) -> None:
        """Remember this version in place of an earlier one. Raises `sqlite3.Error` when the file can't be written."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?)",
                (os.fsencode(state.path), state.size, state.mtime_ns, utc_now().isoformat()),
            )

    def forget(self, taken_before: datetime, gone: Callable[[Path], bool]) -> int:
        """Drop files that were taken before a time and are `gone`; return how many."""
        with self._lock:
            rows = self._connection.execute("SELECT path FROM taken WHERE taken_at < ?", (taken_before.isoformat(),))
            old = [path for (path,) in rows if gone(Path(os.fsdecode(path)))]
            self._connection.execute("BEGIN")
            self._connection.executemany("DELETE FROM taken WHERE path = ?", [(path,) for path in old])
            self._connection.execute("COMMIT")
        return len(old)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()


def processed_files_path(state_path: Path, station: str, root: Path) -> Path:
    """Where the memory of this station's use of this folder lies: two stations may read one folder."""
    digest = hashlib.blake2b(station.encode() + b"\0" + os.fsencode(root.absolute()), digest_size=12).hexdigest()
    return state_path / f"folder-{digest}.sqlite"
