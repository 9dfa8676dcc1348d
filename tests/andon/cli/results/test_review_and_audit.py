"""Users, review, thresholds, what-if and the audit log on the command line."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest

from andon.cli.maintenance import user
from andon.cli.results import audit as audit_command
from andon.cli.results import kpi, review
from andon.cli.stations import normal_jobs, threshold
from andon.errors import CommandFailed
from storage.database.engine import Database
from storage.errors import InvalidChange, LoginFailed, PermissionDenied
from storage.line import jobs, normal_sets, stations, thresholds, verdicts, workers
from storage.line.thresholds import Threshold
from storage.line.what_if import ErrorCounts, WhatIfRequest, WhatIfResult
from storage.line.workers import WorkerStatus
from storage.review import review_queue
from testing.command_line import Andon
from tests.storage.examples import make_verdict

PASSWORD = "correct horse"


@pytest.fixture
def database(andon: Andon, good_folder: Path) -> Iterator[Database]:
    """Station s1 with an active set, a calibrated threshold, and three flagged frames, a minute apart."""
    andon("station", "add", "s1")
    andon("normals", "add", "s1", good_folder, "--limit", "4", "--activate")
    with closing(Database("sqlite:///.andon/andon.db")) as database:
        with database.begin() as session:
            active = normal_sets.active(session, stations.get(session, "s1").id)
            assert active is not None
            now = datetime.now(UTC)
            thresholds.record(
                session, Threshold(1, active.id, "0c5f", 0.5, 0.01, "a promise", now, "worker-1", review_limit=0.45)
            )
            flagged = [
                make_verdict(active, at=now - timedelta(minutes=n), decision="flag", score=0.7) for n in range(3)
            ]
            verdicts.record(session, flagged)
        yield database


def json_output(andon: Andon, *arguments: object) -> Any:
    finished = andon(*arguments, "--json")
    assert finished.code == 0, finished.err
    return json.loads(finished.out)


def as_user(monkeypatch: pytest.MonkeyPatch, name: str, password: str = PASSWORD) -> None:
    monkeypatch.setenv("ANDON_USER", name)
    monkeypatch.setenv("ANDON_PASSWORD", password)


def type_on_stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_labels_and_their_undo_are_in_the_audit_log(andon: Andon, database: Database) -> None:
    first, second = json_output(andon, "review", "next", "s1", "--count", 2)
    assert tuple(first) == review.WAITING_KEYS
    assert "a defect" in andon("review", "label", "defect", first["frame_id"], "--tag", "scratch").out
    assert "a false alarm" in andon("review", "label", "false-alarm", second["frame_id"]).out
    assert second["frame_id"] in andon("review", "undo").out
    listed = json_output(andon, "review", "list")
    assert tuple(listed[0]) == review.KEYS
    assert [row["label"] for row in listed] == ["retracted", "false_alarm", "defect"]
    assert [row["frame_id"] for row in json_output(andon, "review", "next")] == [second["frame_id"]]
    actions = [entry["action"] for entry in json_output(andon, "audit", "--station", "s1")]
    assert actions[:3] == ["review.undo", "review.label", "review.label"]


@pytest.fixture
def borderline(database: Database) -> UUID:
    """The only frame of s1 that is borderline; a fourth frame passed below the review limit."""
    with database.begin() as session:
        active = normal_sets.active(session, 1)
        assert active is not None
        now = datetime.now(UTC)
        passed = [make_verdict(active, at=now, score=score, review_limit=0.4) for score in (0.45, 0.3)]
        verdicts.record(session, passed)
    return passed[0].frame_id


def test_borderline_verdicts_are_listed_alone(andon: Andon, borderline: UUID) -> None:
    (listed,) = json_output(andon, "verdicts", "--borderline")
    assert (listed["frame_id"], listed["decision"], listed["borderline"]) == (str(borderline), "pass", True)
    assert (listed["score"], listed["review_limit"], listed["threshold"]) == (0.45, 0.4, 0.5)
    assert [row["borderline"] for row in json_output(andon, "verdicts")].count(True) == 1
    assert len(andon("verdicts", "s1", "--borderline", "--ndjson").out.splitlines()) == 1
    assert "pass (borderline)" in andon("verdicts", "--limit", "1", "--borderline").out
    assert andon("verdicts", "--borderline", "--flagged").code == 2
    assert andon("verdicts", "--borderline", "--decision", "flag").code == 2


def test_a_station_s_questions_are_handed_out_in_its_order(andon: Andon, database: Database, borderline: UUID) -> None:
    newest, oldest = (json_output(andon, "verdicts", "--flagged")[index]["frame_id"] for index in (0, -1))
    with database.begin() as session:
        review_queue.ask(session, 1, [UUID(oldest), borderline])
    assert [row["questions"] for row in json_output(andon, "station", "list")] == [2]
    asked = json_output(andon, "review", "next", "--questions", "--count", 9)
    assert [(row["frame_id"], row["question"]) for row in asked] == [(oldest, 1), (str(borderline), 2)]
    assert [row["review_limit"] for row in asked] == [None, 0.4]
    assert newest not in andon("review", "next", "s1", "--questions").out
    assert andon("review", "next", "--questions", "--sample").code == 2


def test_kpis_name_borderline_frames_and_what_review_caught(andon: Andon, borderline: UUID) -> None:
    andon("review", "label", "defect", borderline)
    (row,) = json_output(andon, "kpi")
    assert tuple(row) == kpi.KEYS
    assert (row["frames"], row["borderline"], row["borderline_share"], row["escaped"]) == (5, 1, 0.2, 1)
    assert "1 (20.00%)" in andon("kpi").out
    (exported,) = csv.DictReader(io.StringIO(andon("kpi", "--csv").out))
    assert (exported["borderline"], exported["borderline_share"]) == ("1", "0.2")


def test_a_label_submitted_twice_with_one_id_counts_once(andon: Andon, database: Database) -> None:
    (frame,) = json_output(andon, "review", "next")
    arguments = ("review", "label", "defect", frame["frame_id"], "--id", uuid4())
    assert [andon(*arguments).code, andon(*arguments).code] == [0, 0]
    assert len(json_output(andon, "review", "list")) == 1


def test_candidates_become_a_draft(andon: Andon, database: Database) -> None:
    (frame,) = json_output(andon, "review", "next")
    assert andon("review", "add-candidate", frame["frame_id"]).out.startswith("1 of 1 frame ")
    drafted = andon("normals", "draft", "s1", "--note", "glare")
    assert "Normal set 2 of s1 is a draft of 5 images." in drafted.out


def test_a_threshold_is_set_by_hand_with_a_reason(andon: Andon, database: Database) -> None:
    assert "above 0.6" in andon("threshold", "set", "s1", "0.6", "--reason", "glare").out
    newest, before = json_output(andon, "threshold", "show", "s1")
    assert tuple(newest) == threshold.KEYS
    assert (newest["value"], newest["kind"], newest["reason"], newest["in_force"]) == (0.6, "manual", "glare", True)
    assert (before["value"], before["in_force"]) == (0.5, False)
    assert [newest["review_limit"], before["review_limit"]] == [0.45, 0.45]
    assert "by hand" in andon("threshold", "show", "s1").out
    assert andon("threshold", "set", "s1", "0.6").code == 2


def test_the_audit_log_is_filtered_and_written_as_csv(andon: Andon, database: Database) -> None:
    andon("threshold", "set", "s1", "0.6", "--reason", "=1+1")
    (entry,) = json_output(andon, "audit", "--action", "threshold.set", "--since", "1h")
    assert tuple(entry) == audit_command.KEYS
    assert (entry["station"], entry["after"]["value"]) == ("s1", 0.6)
    written = list(csv.DictReader(io.StringIO(andon("audit", "--csv").out)))
    assert [row["action"] for row in written] == [
        "threshold.set",
        "normal_set.activate",
        "normal_set.add",
        "station.add",
    ]
    assert written[0]["reason"] == "'=1+1"  # no spreadsheet runs it as a formula
    assert json.loads(written[0]["before"]) == {"value": 0.5, "kind": "calibrated"}
    assert andon("audit", "--text", "nothing of the kind").out == ""
    assert andon("audit", "--json", "--csv").code == 2


def test_commands_that_change_data_need_a_login_once_users_exist(
    andon: Andon, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_on_stdin(monkeypatch, f"{PASSWORD}\n")
    assert andon("user", "add", "mia", "--role", "inspector", "--password-stdin").code == 1
    type_on_stdin(monkeypatch, f"{PASSWORD}\n")
    assert "role admin" in andon("user", "add", "mia", "--role", "admin", "--password-stdin").out
    refused = andon("normals", "rollback", "s1")
    assert (refused.code, "ANDON_USER" in refused.err) == (1, True)
    assert andon("station", "list").code == 0
    as_user(monkeypatch, "mia", "another one")
    assert isinstance(andon("station", "add", "s2").error, LoginFailed)
    as_user(monkeypatch, "mia")
    type_on_stdin(monkeypatch, f"{PASSWORD}\n")
    assert andon("user", "add", "leo", "--role", "inspector", "--password-stdin").code == 0
    assert [tuple(row) for row in json_output(andon, "user", "list")] == [user.KEYS, user.KEYS]
    as_user(monkeypatch, "leo")
    assert isinstance(andon("station", "add", "s2").error, PermissionDenied)
    (frame,) = json_output(andon, "review", "next")
    assert andon("review", "label", "defect", frame["frame_id"]).code == 0
    assert json_output(andon, "audit", "--actor", "leo")[0]["role"] == "inspector"
    as_user(monkeypatch, "mia")
    assert andon("user", "role", "leo", "viewer").code == 0
    assert andon("user", "disable", "leo").code == 0
    as_user(monkeypatch, "leo")
    assert isinstance(andon("review", "next").error, LoginFailed)
    as_user(monkeypatch, "mia")
    assert andon("user", "enable", "leo").code == 0
    assert isinstance(andon("user", "disable", "mia").error, InvalidChange)


def send_heartbeat(database: Database) -> None:
    now = datetime.now(UTC)
    with database.begin() as session:
        workers.heartbeat(session, WorkerStatus("w1", "running", "", "nearest-patch", 0, now, now))


def test_a_what_if_without_a_scorer_fails(andon: Andon, database: Database) -> None:
    failed = andon("normals", "what-if", "s1", "1")
    assert isinstance(failed.error, CommandFailed)
    assert (failed.code, failed.out) == (1, "")


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_a_what_if_waits_for_the_scorer_and_prints_its_result(andon: Andon, database: Database, outcome: str) -> None:
    result = WhatIfResult(1, "0c5f", 0.61, "a promise", 3, 0, 2, 1, (), (), ErrorCounts(2, 0), ErrorCounts(0, 0))
    send_heartbeat(database)
    stop, requests = Event(), []

    def run_scorer() -> None:
        while not stop.wait(0.05):
            send_heartbeat(database)
            with database.begin() as session:
                job = jobs.claim(session, "w1", ["what_if"], datetime.now(UTC))
                if job is not None:
                    requests.append(WhatIfRequest.from_json(job.payload))
                    now = datetime.now(UTC)
                    if outcome == "done":
                        jobs.finish(session, job.id, "w1", result.to_json(), now)
                    else:
                        jobs.fail(session, job.id, "w1", "an image is gone.", now)

    thread = Thread(target=run_scorer)
    thread.start()
    try:
        finished = andon("normals", "what-if", "s1", "1", "--last", "50")
        if outcome == "done":
            assert tuple(json_output(andon, "normals", "what-if", "s1", "1")) == normal_jobs.WHAT_IF_KEYS
    finally:
        stop.set()
        thread.join()
    assert requests[0] == WhatIfRequest(1, 50)
    if outcome == "failed":
        assert isinstance(finished.error, CommandFailed)
        assert "an image is gone." in finished.err
        return
    assert "Threshold 0.61: a promise" in finished.out
    assert "false rejects among 2 reviewed as good" in finished.out
    assert len(finished.err.splitlines()) == 1  # instead of a table of decisions that would change
