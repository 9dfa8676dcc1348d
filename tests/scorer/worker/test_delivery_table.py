"""docs/delivery.md names a test for each fault: those tests are there."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PAGE = PROJECT / "docs" / "delivery.md"
PROOF = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


def rows() -> list[str]:
    table = PAGE.read_text().partition("| what happens |")[2].partition("\n\n")[0]
    return table.splitlines()[2:]


def test_every_fault_names_tests_and_each_of_them_is_there() -> None:
    for row in rows():
        proofs = PROOF.findall(row)
        assert proofs, row
        for name, module in proofs:
            assert f"def {name}(" in (PROJECT / module).read_text(), row


def test_every_fault_test_stands_in_the_table() -> None:
    named = {(name, module) for row in rows() for name, module in PROOF.findall(row)}
    modules = [*PROJECT.glob("tests/scorer/test_faults*.py"), PROJECT / "tests/scorer/worker/test_flood.py"]
    for module in modules:
        for name in re.findall(r"^def (test_\w+)", module.read_text(), re.MULTILINE):
            assert (name, str(module.relative_to(PROJECT))) in named
