"""A delivery that is killed at any of its steps loses nothing, and its file has each verdict once."""

import json
import signal
from contextlib import closing
from pathlib import Path

import pytest

from foundation.failpoints import DELIVERY_FAILPOINTS
from storage.database.engine import Database
from testing.command_line import Andon, Start
from tests.outputs.examples import add_ready_station, decide, state_of

PATIENCE_S = 120


@pytest.mark.timeout(400)
@pytest.mark.parametrize("failpoint", ["appended:1", *(f"{name}:2" for name in DELIVERY_FAILPOINTS)])
def test_a_delivery_killed_at_any_failpoint_loses_and_duplicates_nothing(
    failpoint: str,
    database_url: str,
    andon: Andon,
    start_andon: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", database_url)
    monkeypatch.setenv("ANDON_OUTPUTS__FILE__KIND", "json_lines")
    monkeypatch.setenv("ANDON_OUTPUTS__FILE__PATH", str(tmp_path / "verdicts.jsonl"))
    with closing(Database(database_url)) as database:
        database.upgrade()
        assert andon("outputs", "run", "--drain").code == 0
        station = add_ready_station(database, "s1")
        sent = decide(database, station, range(250)) + decide(database, station, range(250, 500))
        killed = start_andon("outputs", "run", environment={"ANDON_TEST_FAILPOINT": failpoint})
        assert killed.wait(PATIENCE_S) == -signal.SIGKILL
        assert andon("outputs", "run", "--drain").code == 0
        lines = (tmp_path / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["frame_id"] for line in lines] == [str(frame_id) for frame_id in sent]
        assert state_of(database, "file").pending == 0
