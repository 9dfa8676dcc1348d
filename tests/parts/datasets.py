"""Real datasets and golden outputs that lie beside the project and never in it."""

import os
from pathlib import Path

import pytest

from tests.parts.availability import unavailable

BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2].parent / "shared"


def beside_the_project(relative: str) -> Path:
    """The file or folder `relative` of ANDON_TEST_SHARED (by default ``../shared``)."""
    path = Path(os.environ.get("ANDON_TEST_SHARED", BESIDE_THE_PROJECT)) / relative
    if not path.exists():
        unavailable(f"{relative} is not beside the project; set ANDON_TEST_SHARED to the folder that has it")
    return path


@pytest.fixture(scope="session")
def elpv() -> Path:
    """Solar cells in electroluminescence, MVTec layout."""
    return beside_the_project("data/elpv")
