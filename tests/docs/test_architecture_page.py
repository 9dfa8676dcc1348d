"""docs/architecture.md agrees with the architecture test, and follows a frame through files that exist."""

import re
from collections import Counter
from pathlib import Path

from tests.test_architecture import MAY_IMPORT

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return the text of one section of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_table_of_packages_equals_what_the_architecture_test_enforces() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", section("Packages"), re.MULTILINE)
    assert {package: set(re.findall(r"`(\w+)`", imports)) for package, imports in rows} == MAY_IMPORT


def test_the_way_of_a_frame_names_each_file_once_and_every_file_exists() -> None:
    named = Counter(re.findall(r"`([\w/]+\.py)`", section("The way of a frame")))
    assert len(named) > 20
    assert [path for path in named if not (PROJECT / path).is_file()] == []
    assert [path for path, times in named.items() if times > 1] == []


def test_the_way_of_a_frame_names_every_stage_of_the_worker() -> None:
    steps = re.findall(r"^\d\. \*\*(\w[\w ]*)\.\*\*", section("The way of a frame"), re.MULTILINE)
    assert steps == ["Poll", "Parse", "Look up", "Decode", "Score", "Decide", "Persist", "Commit"]


def test_the_table_of_folders_names_existing_folders() -> None:
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|$", section("Packages"), re.MULTILINE)
    assert len(rows) > 5
    for package, folders in rows:
        named = re.findall(r"(?:^ |· |and |with )`(\w+)`", folders)
        assert [name for name in named if not list((PROJECT / package).glob(f"**/{name}/"))] == [], package
