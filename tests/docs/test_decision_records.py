"""Every decision record follows docs/adr/template.md, and the index lists it."""

import re
from datetime import date
from pathlib import Path

import pytest

RECORDS = sorted((Path(__file__).parents[2] / "docs" / "adr").glob("[0-9]*.md"))
INDEX = RECORDS[0].with_name("index.md").read_text(encoding="utf-8")
HEADER = re.compile(
    r"# (?P<number>\d{4})\. (?P<title>.+)\n\n- \*\*Date:\*\* (?P<date>\d{4}-\d\d-\d\d)\n"
    r"- \*\*Status:\*\* (?:proposed|accepted|superseded)"
)
SECTIONS = (["Context", "Decision", "Consequences"], ["Context", "Decision", "Alternatives", "Consequences"])


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_follows_the_template_and_is_in_the_index(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    header = HEADER.match(text)
    assert header is not None
    assert record.name.startswith(header["number"] + "-")
    assert re.findall(r"^## (.+)", text, re.MULTILINE) in SECTIONS
    row = f"| [{header['number']}]({record.name}) | {header['title']} | {date.fromisoformat(header['date'])} |"
    assert row in INDEX


def test_numbers_are_consecutive() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
