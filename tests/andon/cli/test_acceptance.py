"""From an empty folder to verdicts by the commands of the README, on the embedded default and on Kafka + PostgreSQL."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from testing.command_line import Andon

FRAMES = 12
NORMALS = 4


def run_line(andon: Andon, elpv: Path) -> list[dict[str, Any]]:
    """Add a station and normals, produce, score; return the verdicts in order of capture."""
    for arguments in (
        ("station", "add", "s1", "--object", "solar cell"),
        ("normals", "add", "s1", elpv / "train" / "good", "--limit", NORMALS, "--activate"),
        ("produce", "s1", "--source", f"replay:{elpv}", "--limit", FRAMES),
        ("score", "--drain"),
    ):
        finished = andon(*arguments)
        assert finished.code == 0, finished.err
    verdicts = json.loads(andon("verdicts", "s1", "--limit", 10 * FRAMES, "--json").out)
    return sorted(verdicts, key=lambda verdict: (verdict["captured_at"], verdict["frame_id"]))


@pytest.mark.data
def test_every_frame_gets_one_verdict_on_the_embedded_default(andon: Andon, elpv: Path) -> None:
    verdicts = run_line(andon, elpv)
    assert len(verdicts) == len({verdict["frame_id"] for verdict in verdicts}) == FRAMES
    assert {verdict["decision"] for verdict in verdicts} <= {"pass", "flag"}
    assert all(verdict["score"] is not None and verdict["truth"] is not None for verdict in verdicts)
    assert json.loads(andon("dead-letters", "list", "--json").out) == []
    flagged = json.loads(andon("verdicts", "--flagged", "--json").out)
    assert {verdict["frame_id"] for verdict in flagged} == {
        verdict["frame_id"] for verdict in verdicts if verdict["decision"] == "flag"
    }
    assert andon("verdicts", "--since", "0s", "--json").out == "[]\n"


@pytest.mark.data
@pytest.mark.kafka
@pytest.mark.postgres
def test_kafka_and_postgresql_give_the_same_verdicts(
    andon: Andon, elpv: Path, kafka_bootstrap: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = run_line(andon, elpv)
    (tmp_path / "production").mkdir()
    monkeypatch.chdir(tmp_path / "production")
    monkeypatch.setenv("ANDON_INGEST__BUS", "kafka")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("ANDON_INGEST__TOPIC", f"andon.acceptance.{os.getpid()}")
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", postgres_url)
    refused = andon("station", "list")
    assert (refused.code, "andon db upgrade" in refused.err) == (1, True)
    assert andon("db", "upgrade").code == 0
    production = run_line(andon, elpv)
    assert [verdict["truth"] for verdict in production] == [verdict["truth"] for verdict in embedded]
    assert [verdict["image_reference"] for verdict in production] == [
        verdict["image_reference"] for verdict in embedded
    ]
    assert [verdict["decision"] for verdict in production] == [verdict["decision"] for verdict in embedded]
    assert [verdict["score"] for verdict in production] == pytest.approx(
        [verdict["score"] for verdict in embedded], abs=1e-5
    )
