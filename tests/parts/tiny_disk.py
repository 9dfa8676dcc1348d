"""A real disk of one megabyte, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.availability import unavailable


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that is a file system of its own, 1 MB in size."""
    if os.name == "nt" or os.geteuid() != 0:
        unavailable("mounting a tiny disk to fill needs root")
    folder = tmp_path / "tiny-disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        unavailable(f"a tiny disk can't be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
