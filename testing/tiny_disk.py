"""Real disks of a megabyte or a few, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testing.availability import skip_unavailable


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that is a file system of its own, 1 MB in size."""
    with tiny_disk_of("1m", tmp_path) as folder:
        yield folder


@contextmanager
def tiny_disk_of(size: str, parent: Path) -> Iterator[Path]:
    """One of this size, such as "24m", in a new folder of `parent`."""
    if os.name == "nt" or os.geteuid() != 0:
        skip_unavailable("mounting a tiny disk to fill needs root")
    folder = parent / "tiny-disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        skip_unavailable(f"a tiny disk can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Write to the end of a file until its disk is full."""
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
