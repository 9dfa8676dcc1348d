"""The view Proposal: normals that a scorer proposes from the stream."""

from datetime import datetime, timedelta

import pytest

from storage.actions import normal_sets as actions
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.line import jobs, normal_sets
from storage.line.jobs import JobKind
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.what_if import ErrorCounts, WhatIfRequest, WhatIfResult
from tests.dashboard.page_harness import button, opened, press, text
from tests.dashboard.seeding import MODEL, SeededStorage, verdict

ADMIN = Actor(SINGLE_USER, Role.ADMIN)


def finish_job(
    line: SeededStorage,
    s1: Station,
    kind: JobKind,
    payload: dict[str, object],
    result: dict[str, object],
    now: datetime,
) -> None:
    with line.database.begin() as session:
        jobs.enqueue(session, kind, s1.id, payload, "mia", now)
        job = jobs.claim(session, "scorer-1", [kind], now)
        assert job is not None
        jobs.finish(session, job.id, "scorer-1", result, now)


def test_a_proposal_is_asked_for_once(
    line: SeededStorage, s1: Station, normal_set: NormalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "normals", station="s1", view="Proposal")
    assert "No scorer is running" in text(app)
    press(app, "propose-")
    assert button(app, "propose-").disabled
    with line.database.read() as session:
        assert [(job.kind, job.state) for job in jobs.recent(session)] == [("propose_normals", "queued")]


def test_a_finished_proposal_shows_what_it_adds_why_it_waits_and_what_it_would_change(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.worker("scorer-1", now)
    streamed = verdict(line, s1, normal_set, 1, now - timedelta(minutes=1), 0.2)
    line.verdicts(streamed)
    with line.database.begin() as session:
        image = NormalImage(streamed.image_reference, "frame 1 of 2026-11-24 08:00:00")
        draft = actions.draft(session, ADMIN, s1.name, [image], "proposed from the stream (job 1)", now)
    result = {"version": draft.version, "added": 1, "frames": 250, "activated": False, "reasons": ["It drifts."]}
    finish_job(line, s1, "propose_normals", {}, result, now)
    errors = ErrorCounts(0, 0)
    compared = WhatIfResult(draft.version, MODEL, 0.4, "at most 1 %", 199, 0, 0, 0, (), (), errors, errors, own=1)
    finish_job(line, s1, "what_if", WhatIfRequest(draft.version).to_json(), compared.to_json(), now)
    app = opened(line, monkeypatch, "normals", station="s1", view="Proposal")
    content = text(app)
    assert f"Version {draft.version} · draft" in content
    assert "It drifts." in content
    assert f"If version {draft.version} were active" in content
    assert "1 left out" in content
    press(app, "activate-")
    with line.database.read() as session:
        active = normal_sets.active(session, s1.id)
    assert active is not None
    assert active.version == draft.version
