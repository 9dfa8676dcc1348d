"""From an empty folder to verdicts by the commands of the README, on the embedded default and on Kafka + PostgreSQL."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from testing.command_line import Andon

FRAMES = 12
NORMALS = 4


def the_line_runs(andon: Andon, elpv: Path) -> list[dict[str, Any]]:
    """Add a station and normals, produce, score; return the verdicts in order of capture."""
    for words in (
        ("station", "add", "s1", "--object", "solar cell"),
        ("normals", "add", "s1", elpv / "train" / "good", "--limit", NORMALS, "--activate"),
        ("produce", "s1", "--source", f"replay:{elpv}", "--limit", FRAMES),
        ("score", "--drain"),
    ):
        ended = andon(*words)
        assert ended.code == 0, ended.err
    verdicts = json.loads(andon("verdicts", "s1", "--limit", 10 * FRAMES, "--json").out)
    return sorted(verdicts, key=lambda one: (one["captured_at"], one["frame_id"]))


@pytest.mark.data
def test_every_frame_gets_one_verdict_on_the_embedded_default(andon: Andon, elpv: Path) -> None:
    verdicts = the_line_runs(andon, elpv)
    assert len(verdicts) == len({one["frame_id"] for one in verdicts}) == FRAMES
    assert {one["decision"] for one in verdicts} <= {"pass", "flag"}
    assert all(one["score"] is not None and one["truth"] is not None for one in verdicts)
    assert json.loads(andon("dead-letters", "list", "--json").out) == []
    flagged = json.loads(andon("verdicts", "--flagged", "--json").out)
    assert {one["frame_id"] for one in flagged} == {one["frame_id"] for one in verdicts if one["decision"] == "flag"}
    assert andon("verdicts", "--since", "0s", "--json").out == "[]\n"


@pytest.mark.data
@pytest.mark.kafka
@pytest.mark.postgres
def test_kafka_and_postgresql_give_the_same_verdicts(
    andon: Andon, elpv: Path, kafka_bootstrap: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = the_line_runs(andon, elpv)
    (tmp_path / "production").mkdir()
    monkeypatch.chdir(tmp_path / "production")
    monkeypatch.setenv("ANDON_INGEST__BUS", "kafka")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("ANDON_INGEST__TOPIC", f"andon.acceptance.{os.getpid()}")
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", postgres_url)
    refused = andon("station", "list")
    assert (refused.code, "andon db upgrade" in refused.err) == (1, True)
    assert andon("db", "upgrade").code == 0
    production = the_line_runs(andon, elpv)
    assert [one["truth"] for one in production] == [one["truth"] for one in embedded]
    assert [one["image_reference"] for one in production] == [one["image_reference"] for one in embedded]
    assert [one["decision"] for one in production] == [one["decision"] for one in embedded]
    assert [one["score"] for one in production] == pytest.approx([one["score"] for one in embedded], abs=1e-5)
