"""A file is whole or as it was before, and no temporary file stays behind."""

import os
from pathlib import Path

import pytest

from foundation.atomic_files import replace_file, write_content_addressed, write_file


@pytest.fixture
def fsync_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced to the disk, ``file`` or ``folder``, in order."""
    kinds: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        kinds.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    return kinds


def test_a_replaced_file_is_synced_with_its_folder(tmp_path: Path, fsync_calls: list[str]) -> None:
    path = tmp_path / "new folder" / "settings.json"

    write_file(path, b"first")
    write_file(path, b"second")

    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
    assert fsync_calls == ["file", "folder"] * 2


def test_a_block_that_raises_leaves_the_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(b"first")

    with pytest.raises(TypeError), replace_file(path) as temporary:
        temporary.write_bytes("half of the second")  # type: ignore[arg-type]

    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_file_unchanged(tiny_disk: Path) -> None:
    path = tiny_disk / "settings.json"
    path.write_bytes(b"first")

    with pytest.raises(OSError, match="No space left"):
        write_file(path, bytes(10_000_000))

    assert path.read_bytes() == b"first"
    assert list(tiny_disk.iterdir()) == [path]


def test_a_content_addressed_file_is_written_with_one_sync(tmp_path: Path, fsync_calls: list[str]) -> None:
    path = tmp_path / "0123"

    write_content_addressed(str(path), b"image")

    assert path.read_bytes() == b"image"
    assert list(tmp_path.iterdir()) == [path]
    assert fsync_calls == ["file"]


def test_a_truncated_content_addressed_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "0123"
    path.write_bytes(b"ima")

    write_content_addressed(str(path), b"image")

    assert path.read_bytes() == b"image"


def test_equal_content_is_synced_and_not_rewritten(tmp_path: Path, fsync_calls: list[str]) -> None:
    path = tmp_path / "0123"
    path.write_bytes(b"image")
    inode = path.stat().st_ino

    write_content_addressed(str(path), b"image")

    assert path.stat().st_ino == inode
    assert fsync_calls == ["file"]


def test_new_folders_of_a_content_addressed_file_are_synced(tmp_path: Path, fsync_calls: list[str]) -> None:
    write_content_addressed(str(tmp_path / "ab" / "cd" / "0123"), b"image")

    assert fsync_calls == ["file", "folder", "folder"]
