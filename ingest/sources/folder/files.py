"""How a folder source reads the file system."""

import os
from datetime import datetime
from pathlib import Path

from foundation.clock import EPOCH, from_epoch_us
from ingest.schema import EARLIEST, END
from ingest.sources.folder.processed_files import FileVersion


def read_version(path: Path, root: Path, max_bytes: int) -> tuple[FileVersion, bytes]:
    """Return a file's version after it was read, and its content; empty for one above `max_bytes`.

    Raises:
        OSError: The file can't be read, or is gone.
    """
    with path.open("rb") as file:
        fits = os.fstat(file.fileno()).st_size <= max_bytes
        content = file.read(max_bytes + 1) if fits else b""
        status = os.fstat(file.fileno())
    return version_of(path, root, status), content


def version_of(path: Path, root: Path, status: os.stat_result) -> FileVersion:
    """Return the version of a file that has this status."""
    return FileVersion(path.relative_to(root), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def modified_at(mtime_ns: int) -> datetime:
    """Return a modification time in UTC; 1970 for one that no frame can have, which is then marked as implausible."""
    try:
        at = from_epoch_us(mtime_ns // 1000)
    except OverflowError:
        return EPOCH
    return at if EARLIEST <= at < END else EPOCH


def listing_error(folder: Path) -> str | None:
    """Return why a folder can't be listed, or None when it can."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        return error.strerror
    return None


def folder_id(folder: Path) -> tuple[int, int] | None:
    """Return device and inode, which distinguish two folders of the same path, or None when it is gone."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
