"""The table of docs/explanation/delivery.md names an existing test for each fault, and every fault test is in it."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "explanation" / "delivery.md"
NODE_ID = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    table = PAGE.read_text(encoding="utf-8").partition("| fault | effect |")[2].partition("\n\n")[0]
    return table.splitlines()[2:]


def test_every_fault_names_existing_tests() -> None:
    assert len(rows()) > 10
    for row in rows():
        node_ids = NODE_ID.findall(row)
        assert node_ids, row
        for module, name in node_ids:
            assert f"def {name}(" in (PROJECT / module).read_text(encoding="utf-8"), row


def test_every_fault_test_is_in_the_table() -> None:
    named = {node_id for row in rows() for node_id in NODE_ID.findall(row)}
    modules = [*PROJECT.glob("tests/**/test_faults*.py"), *PROJECT.glob("tests/**/test_flood.py")]
    assert len(modules) >= 4
    for module in modules:
        for name in re.findall(r"^def (test_\w+)", module.read_text(encoding="utf-8"), re.MULTILINE):
            assert (str(module.relative_to(PROJECT)), name) in named
