"""`andon outputs`: started from the settings, listed with what waits, retried and removed by a person."""

import json
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest

from andon.cli.results import outputs as commands
from andon.errors import CommandFailed, InvalidSettings
from outputs.errors import OutputMisconfigured, UnknownOutput
from storage.auth import audit_log
from storage.database.engine import Database
from storage.errors import NotFound
from storage.outputs import outbox, pending
from testing.command_line import Andon, Start, get_until
from testing.ports import free_port
from tests.outputs.examples import add_ready_station, decide, state_of

PATIENCE_S = 120


@pytest.fixture
def file(workplace: Path) -> Path:
    """The file of the output `file`, which the settings name."""
    (workplace / "andon.toml").write_text('[outputs.file]\nkind = "json_lines"\npath = "out/verdicts.jsonl"\n')
    return workplace / "out" / "verdicts.jsonl"


@pytest.fixture
def database(andon: Andon, workplace: Path) -> Database:
    andon("db", "upgrade")
    return Database(f"sqlite:///{workplace / '.andon' / 'andon.db'}")


def listed(andon: Andon) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(andon("outputs", "list", "--json").out)
    assert all(tuple(row) == commands.KEYS for row in rows)
    return rows


def test_verdicts_since_the_first_start_are_delivered_and_counted(andon: Andon, file: Path, database: Database) -> None:
    assert [(row["name"], row["kind"], row["registered_at"]) for row in listed(andon)] == [("file", "json_lines", None)]
    assert "0" in andon("outputs", "run", "--drain").out
    with closing(database):
        sent = decide(database, add_ready_station(database, "s1"), range(3))
        assert [row["pending"] for row in listed(andon)] == [3]
        assert "3" in andon("outputs", "run", "--drain").out
    assert [json.loads(line)["frame_id"] for line in file.read_text().splitlines()] == [str(one) for one in sent]
    assert [(row["pending"], row["rejected"], row["error"]) for row in listed(andon)] == [(0, 0, None)]


def test_a_running_service_delivers_serves_its_metrics_and_stops(
    andon: Andon, start_andon: Start, file: Path, database: Database
) -> None:
    assert andon("outputs", "run", "--drain").code == 0
    with closing(database):
        decide(database, add_ready_station(database, "s1"), range(3))
    port = free_port()
    service = start_andon("outputs", "run", "--metrics-port", port)
    assert get_until(port, "/metrics", 'andon_output_delivered_total{output="file"} 3.0')
    assert get_until(port, "/healthz", "ok")
    service.send_signal(signal.SIGTERM)
    assert service.wait(PATIENCE_S) == 0


def test_an_output_that_can_not_deliver_is_unhealthy_and_says_why(
    andon: Andon, start_andon: Start, file: Path, database: Database
) -> None:
    assert andon("outputs", "run", "--drain").code == 0
    with closing(database):
        decide(database, add_ready_station(database, "s1"), [1])
    file.parent.mkdir()
    file.write_text("a diary")
    port = free_port()
    start_andon("outputs", "run", "--metrics-port", port)
    assert get_until(port, "/healthz", "The output file waits")
    assert "verdicts.jsonl" in str(listed(andon)[0]["error"])


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("", CommandFailed),
        ("[outputs.file]\n", OutputMisconfigured),
        ('[outputs.file]\nkind = "pigeon"\n', UnknownOutput),
        ('[outputs.file]\nkind = "json_lines"\npth = "verdicts.jsonl"\n', OutputMisconfigured),
        ('[outputs]\nfile = "json_lines"\n', InvalidSettings),
        ('[outputs.File]\nkind = "json_lines"\n', InvalidSettings),
    ],
)
def test_settings_that_can_not_be_meant_stop_the_command(
    andon: Andon, workplace: Path, table: str, error: type[Exception]
) -> None:
    (workplace / "andon.toml").write_text(table)
    failed = andon("outputs", "run", "--drain")
    assert failed.code == 1
    assert isinstance(failed.error, error)


def test_rejected_verdicts_are_retried_by_a_person(andon: Andon, file: Path, database: Database) -> None:
    assert andon("outputs", "run", "--drain").code == 0
    with closing(database):
        decide(database, add_ready_station(database, "s1"), range(2))
        with database.begin() as session:
            first, *_ = pending.oldest(session, "file", 1)
            outbox.mark_rejected(session, "file", first.verdict_id, "too large")
        assert [row["rejected"] for row in listed(andon)] == [1]
        assert andon("outputs", "retry", "file").out.startswith("1 ")
        assert (state_of(database, "file").pending, state_of(database, "file").rejected) == (2, 0)
        with database.read() as session:
            assert audit_log.list_entries(session)[0].action == "output.retry"


def test_an_output_is_removed_once_it_is_not_in_the_settings(
    andon: Andon, file: Path, workplace: Path, database: Database
) -> None:
    assert andon("outputs", "run", "--drain").code == 0
    with closing(database):
        decide(database, add_ready_station(database, "s1"), range(2))
    assert isinstance(andon("outputs", "remove", "file").error, CommandFailed)
    (workplace / "andon.toml").unlink()
    assert [(row["kind"], row["pending"]) for row in listed(andon)] == [(None, 2)]
    assert re.search(r"\b2\b", andon("outputs", "remove", "file").out)
    assert listed(andon) == []
    assert isinstance(andon("outputs", "remove", "file").error, NotFound)
