"""`andon station mask`: set from a file, shown with its versions, cleared."""

import json
from pathlib import Path

import pytest

from testing.command_line import Andon

CORNER = [[0.0, 0.0], [0.2, 0.0], [0.2, 0.1]]


@pytest.fixture
def mask_file(tmp_path: Path) -> Path:
    file = tmp_path / "mask.json"
    file.write_text(json.dumps({"ignored": [CORNER]}))
    return file


def shown(andon: Andon) -> list[tuple[int, bool, int]]:
    rows = json.loads(andon("station", "mask", "show", "s1", "--json").out)
    return [(row["version"], row["in_force"], len(row["ignored"])) for row in rows]


def test_a_mask_is_set_shown_and_cleared(andon: Andon, mask_file: Path) -> None:
    andon("db", "upgrade")
    andon("station", "add", "s1")
    assert shown(andon) == []
    assert andon("station", "mask", "set", "s1", str(mask_file), "--reason", "serial").code == 0
    assert shown(andon) == [(1, True, 1)]
    assert andon("station", "mask", "set", "s1", str(mask_file)).code == 0  # the same again is no new version
    assert andon("station", "mask", "clear", "s1").code == 0
    assert shown(andon) == [(2, True, 0), (1, False, 1)]
    audit = json.loads(andon("audit", "--json").out)
    assert [row["reason"] for row in audit if "mask" in row["subject"]] == ["", "serial"]


@pytest.mark.parametrize(
    "content", ["no json", "[]", '{"ignored": [[[0,0],[1,0],[1,1],[0,1]]]}', '{"ignored": [[[0,0],[2,0],[1,1]]]}']
)
def test_a_file_that_is_no_mask_or_covers_everything_is_refused(andon: Andon, tmp_path: Path, content: str) -> None:
    andon("db", "upgrade")
    andon("station", "add", "s1")
    file = tmp_path / "mask.json"
    file.write_text(content)
    assert andon("station", "mask", "set", "s1", str(file)).code == 1
    assert shown(andon) == []
