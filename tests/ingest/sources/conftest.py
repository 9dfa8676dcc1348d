"""Runs of a folder source on one folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ingest.sources.folder_run import FolderRun


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "camera"
    root.mkdir()
    return root


@pytest.fixture
def start_run(root: Path, tmp_path: Path) -> Iterator[Callable[..., FolderRun]]:
    """A function that starts a run on the same folder and record of processed files; each is a restart."""
    runs: list[FolderRun] = []

    def run(max_file_bytes: int = 1_000_000, follow_links: bool = False) -> FolderRun:
        runs.append(FolderRun(root, tmp_path / "memory.sqlite", max_file_bytes, follow_links))
        return runs[-1]

    yield run
    for run_of_test in runs:
        run_of_test.folder.close()
