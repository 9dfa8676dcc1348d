"""Atomic file writes: a reader never sees a partial file, and a written file survives a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from foundation.private_files import make_private_folder

_AS_BYTES = getattr(os, "O_BINARY", 0)  # Windows
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _AS_BYTES


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; when the block ends, that file takes the place of `path`.

    The file and then its folder are synced to the disk. When the block raises, the temporary file is removed and
    `path` stays as it was. The folder is created where it is missing.

    Raises:
        OSError: The file or its folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` as `replace_file` does; raises `OSError`."""
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def write_content_addressed(path: str, content: bytes) -> None:
    """Write a file whose name is a digest of its content, with one sync; raises `OSError`.

    The file is renamed first and synced afterwards: on every common journalling file system that syncs the new name
    with it. A power cut in between may leave a torn file, whose write no caller saw succeed; because the name is a
    digest of the content, the next write of the same content finds it torn and replaces it. A file that already has
    this content is synced and left as it is.

    Only the system calls that are needed are made: each releases the GIL and has to acquire it again.
    """
    if _is_written(path, content):
        return
    folder = os.path.dirname(path)
    written_path = f"{folder}/.new-{uuid4().hex}"
    new_folders: list[Path] = []
    try:
        descriptor = os.open(written_path, _NEW_FILE, 0o600)
    except FileNotFoundError:
        new_folders = [parent for parent in Path(path).parents if not parent.exists()]
        make_private_folder(Path(folder))
        descriptor = os.open(written_path, _NEW_FILE, 0o600)
    try:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.replace(written_path, path)
        written_path = path
        os.fsync(descriptor)
    except BaseException:
        Path(written_path).unlink(missing_ok=True)  # a second sync may succeed after a failed one, with no data on disk
        raise
    finally:
        os.close(descriptor)
    for new_folder in new_folders:
        sync_folder(new_folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to the disk, so that new names in it survive a power cut; raises `OSError`."""
    if os.name == "nt":  # Windows can't open a folder, and syncs a rename with the file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_written(path: str, content: bytes) -> bool:
    """Return whether exactly `content` is at `path`; if so it is on the disk, even while another process writes it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_BYTES)
    except FileNotFoundError:
        return False
    with open(descriptor, "rb") as file:
        if file.read() != content:
            return False
        os.fsync(descriptor)
    return True
