"""Real file systems of some megabytes, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testing.availability import skip_unavailable


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MB in an empty folder."""
    with tiny_disk_of("1m", tmp_path) as folder:
        yield folder


@contextmanager
def tiny_disk_of(size: str, parent: Path) -> Iterator[Path]:
    """Mount a file system of a size such as "24m" in a new folder of `parent`."""
    if os.name == "nt" or os.geteuid() != 0:
        skip_unavailable("mounting a tiny disk to fill needs root")
    folder = parent / "tiny-disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        skip_unavailable(f"a tiny disk can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Append to a file until its disk is full."""
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
