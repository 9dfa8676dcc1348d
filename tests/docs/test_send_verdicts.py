"""docs/how-to/send-verdicts.md lists every kind of output with its keys, and every key of a message."""

import json
import re
from pathlib import Path

from outputs.json_lines import JsonLinesSettings
from outputs.registry import OUTPUTS
from tests.outputs.examples import MESSAGE

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "send-verdicts.md").read_text(encoding="utf-8")


def rows(title: str) -> list[tuple[str, ...]]:
    """Return the cells of each row of a section's table."""
    section = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [tuple(cell.strip() for cell in line.split("|")) for line in lines[2:]]


def test_every_kind_is_listed_with_its_keys() -> None:
    assert {kind.strip("`"): keys for kind, _, keys in rows("Kinds")} == {"json_lines": "`path`"}
    assert set(OUTPUTS) == {"json_lines"}
    assert set(JsonLinesSettings.model_fields) == {"path"}


def test_every_key_of_a_message_is_listed_in_order() -> None:
    listed = [key for keys, _ in rows("What is sent") for key in re.findall(r"`(\w+)`", keys)]
    assert listed == list(json.loads(MESSAGE.to_json()))
