"""The output of --json has the keys that the command's help and docs/reference/commands.md list."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.cli import output
from andon.cli.maintenance import config
from andon.cli.results import dead_letters, verdicts
from andon.cli.stations import normals, station
from storage.line.dead_letters import DeadLetter
from storage.line.verdicts import Verdict
from testing.command_line import Andon

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
VERDICT = Verdict(
    frame_id=UUID("019c13a5-1c00-7000-8000-000000000001"),
    station_id=1,
    captured_at=NOON,
    published_at=NOON,
    decided_at=NOON.replace(microsecond=250_000),
    decision="flag",
    score=0.75,
    threshold=0.5,
    components={"patch": 0.75},
    normal_set_id=1,
    detector="nearest-patch",
    model_id="m",
    weights_sha256=None,
    image_reference="sha256:0",
    content_type="image/png",
    map_reference=None,
    part_id=None,
    truth="scratch",
    worker="w",
    topic="t",
    partition=0,
    offset=7,
)
LETTER = DeadLetter(1, "t", 0, 7, "no-image", "e", None, None, (("odd", b"\xff"),), "sha256:0", 0, NOON, None)


def round_trip(capsys: pytest.CaptureFixture[str], value: object) -> Any:
    output.write_json(value)
    return json.loads(capsys.readouterr().out)


def test_a_verdict_has_its_keys_and_rfc_3339_times(capsys: pytest.CaptureFixture[str]) -> None:
    row = round_trip(capsys, verdicts.json_of("s1", VERDICT))
    assert tuple(row) == verdicts.KEYS
    assert (row["station"], row["frame_id"]) == ("s1", "019c13a5-1c00-7000-8000-000000000001")
    assert (row["captured_at"], row["latency_ms"]) == ("2026-01-31T12:00:00.000000Z", 250.0)
    assert row["stamped_at"] is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_is_written_in_rfc_3339(at: datetime) -> None:
    text = output.rfc3339(at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert datetime.fromisoformat(text) == at


def test_a_dead_letter_has_its_keys_and_escapes_binary_headers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = round_trip(capsys, dead_letters.json_of(LETTER))
    assert tuple(row) == dead_letters.KEYS
    assert row["headers"] == [{"name": "odd", "value": "\\xff"}]


def test_stations_normal_sets_and_settings_have_their_keys(andon: Andon, good_folder: Path) -> None:
    andon("station", "add", "s1")
    andon("normals", "add", "s1", good_folder)
    assert tuple(json.loads(andon("station", "list", "--json").out)[0]) == station.KEYS
    assert set(json.loads(andon("station", "show", "s1", "--json").out)) == {*station.KEYS, *station.COUNTS}
    assert tuple(json.loads(andon("normals", "list", "s1", "--json").out)[0]) == normals.KEYS
    assert tuple(json.loads(andon("normals", "show", "s1", "1", "--json").out)) == normals.KEYS
    assert tuple(json.loads(andon("config", "--json").out)[0]) == config.KEYS
