"""Real datasets and golden outputs, in a folder beside the project."""

import os
from pathlib import Path

import pytest

from testing.availability import skip_unavailable

DEFAULT_FOLDER = Path(__file__).resolve().parents[1].parent / "shared"


def shared_path(relative: str) -> Path:
    """Return the file or folder `relative` of ANDON_TEST_SHARED (by default ``../shared``), or skip the test."""
    path = Path(os.environ.get("ANDON_TEST_SHARED", DEFAULT_FOLDER)) / relative
    if not path.exists():
        skip_unavailable(f"{relative} is not beside the project; set ANDON_TEST_SHARED to the folder that has it")
    return path


@pytest.fixture(scope="session")
def elpv() -> Path:
    """Return the dataset of solar cells in electroluminescence, in MVTec layout."""
    return shared_path("data/elpv")
