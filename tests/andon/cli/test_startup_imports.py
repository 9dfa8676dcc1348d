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


def heavy_modules_imported_by(*arguments: str) -> list[str]:
    script = IMPORTED_BY.format(words=list(arguments), heavy=HEAVY)
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=150, check=True)
    return finished.stderr.splitlines()[-1].removeprefix("imported:").split()


@pytest.mark.parametrize("arguments", [("--help",), ("score", "--help"), ("--version",), ("config", "--example")])
def test_help_imports_no_heavy_module(arguments: tuple[str, ...], workplace: Path) -> None:
    loaded = set(heavy_modules_imported_by(*arguments))
    assert loaded <= (
        {"sqlalchemy"} if arguments[0] == "config" else set()
    )  # storage's settings read database addresses


def test_listing_stations_imports_no_torch_streamlit_kafka_or_av(workplace: Path) -> None:
    assert not {"torch", "streamlit", "kafka", "av"} & set(heavy_modules_imported_by("station", "list"))
