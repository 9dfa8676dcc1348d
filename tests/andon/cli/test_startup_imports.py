"""The command starts quickly because it imports only what it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "streamlit", "kafka", "sqlalchemy", "numpy", "av", "pandas")

IMPORTED_BY = """
import sys
from andon.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print("imported:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def imported_by(*words: str) -> list[str]:
    script = IMPORTED_BY.format(words=list(words), heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=150, check=True)
    return ended.stderr.splitlines()[-1].removeprefix("imported:").split()


@pytest.mark.parametrize("words", [("--help",), ("score", "--help"), ("--version",), ("config", "--example")])
def test_asking_for_help_loads_nothing_heavy(words: tuple[str, ...], workplace: Path) -> None:
    loaded = set(imported_by(*words))
    assert loaded <= ({"sqlalchemy"} if words[0] == "config" else set())  # storage's settings read database addresses


def test_looking_at_stations_loads_no_model_no_page_and_no_broker(workplace: Path) -> None:
    assert not {"torch", "streamlit", "kafka", "av"} & set(imported_by("station", "list"))
