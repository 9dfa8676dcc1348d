"""Real datasets and golden outputs that lie beside the project and never in it."""

import os
from pathlib import Path

import pytest

from testing.availability import skip_unavailable

BESIDE_THE_PROJECT = Path(__file__).resolve().parents[1].parent / "shared"


def shared_path(relative: str) -> Path:
    """The file or folder `relative` of ANDON_TEST_SHARED (by default ``../shared``)."""
    path = Path(os.environ.get("ANDON_TEST_SHARED", BESIDE_THE_PROJECT)) / relative
    if not path.exists():
        skip_unavailable(f"{relative} is not beside the project; set ANDON_TEST_SHARED to the folder that has it")
    return path


@pytest.fixture(scope="session")
def elpv() -> Path:
    """Solar cells in electroluminescence, MVTec layout."""
    return shared_path("data/elpv")
