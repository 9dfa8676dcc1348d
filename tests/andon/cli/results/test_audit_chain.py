"""`andon audit verify` and `andon audit export`: a changed log is a failure, also where its hashes were made anew."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from andon.errors import CommandFailed
from storage.database.engine import Database
from testing.command_line import Andon

COPY = Path("copy.jsonl")


@pytest.fixture
def database(andon: Andon) -> Iterator[Database]:
    """Two stations, and so two entries."""
    for name in ("s1", "s2"):
        assert andon("station", "add", name).code == 0
    with closing(Database("sqlite:///.andon/andon.db")) as database:
        yield database


def tamper(database: Database, statement: str) -> None:
    with database.begin() as session:
        for change in ("update", "delete"):
            session.execute(text(f"DROP TRIGGER IF EXISTS audit_keeps_rows_from_{change}"))
        session.execute(text(statement))


def test_an_unchanged_log_is_verified_and_its_copy_grows(andon: Andon, database: Database) -> None:
    assert andon("audit", "export", "--to", COPY).code == 0
    andon("station", "add", "s3")
    assert andon("audit", "export", "--to", COPY).code == 0
    assert andon("audit", "export", "--to", COPY).code == 0
    lines = [json.loads(line) for line in COPY.read_text().splitlines()]
    assert [line["subject"] for line in lines] == ["station s1", "station s2", "station s3"]
    assert COPY.stat().st_mode & 0o777 == 0o600
    verified = andon("audit", "verify", "--copy", COPY)
    assert verified.code == 0
    assert lines[-1]["hash"] in verified.out
    assert len(json.loads(andon("audit", "--json").out)) == 3


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'eve' WHERE id = 1", "DELETE FROM audit WHERE id = 1"])
def test_a_changed_log_fails_and_is_not_copied(andon: Andon, database: Database, statement: str) -> None:
    andon("audit", "export", "--to", COPY)
    copied = COPY.read_text()
    tamper(database, statement)
    for arguments in (("verify",), ("verify", "--copy", COPY), ("export", "--to", COPY)):
        assert isinstance(andon("audit", *arguments).error, CommandFailed)
    assert COPY.read_text() == copied


def test_a_log_whose_end_was_removed_fails_against_its_copy_alone(andon: Andon, database: Database) -> None:
    andon("audit", "export", "--to", COPY)
    tamper(database, "DELETE FROM audit WHERE id = 2")
    assert andon("audit", "verify").code == 0
    assert isinstance(andon("audit", "verify", "--copy", COPY).error, CommandFailed)


@pytest.mark.parametrize("content", ["no copy\n", "[1]\n", '{"subject": "no id"}\n'])
def test_another_file_is_not_taken_for_a_copy(andon: Andon, database: Database, content: str) -> None:
    COPY.write_text(content)
    for arguments in (("verify", "--copy", COPY), ("export", "--to", COPY)):
        assert isinstance(andon("audit", *arguments).error, CommandFailed)
    assert COPY.read_text() == content
