"""The page Normal sets, run by Streamlit's own test harness without a browser."""

import io
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from dashboard.normals import image_checks
from ingest.sources.simulated import normals
from storage.actions import jobs as job_actions
from storage.actions import normal_sets as actions
from storage.actions import reviews as review_actions
from storage.auth import audit_log
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.line import golden_frames, jobs, normal_candidates, normal_sets, thresholds, verdicts, what_if
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.what_if import WhatIfRequest
from storage.review.reviews import LabelSubmission
from tests.dashboard.page_harness import button, opened, press, text
from tests.dashboard.seeding import MODEL, Scene, SeededStorage, jpeg, verdict
from tests.dashboard.seeding_activity import user

ADMIN = Actor(SINGLE_USER, Role.ADMIN)
GUARANTEE = "With 4 good parts the highest of them sets the threshold."


@pytest.fixture
def flagged(
    line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime
) -> list[verdicts.Verdict]:
    """Four flagged frames, each with its own image."""
    chance = np.random.default_rng(9)
    made = [
        verdict(
            line,
            s1,
            normal_set,
            n,
            now - timedelta(minutes=n + 1),
            0.5 + n / 100,
            image_reference=line.images.put(jpeg(coins.frame(chance))),
        )
        for n in range(4)
    ]
    line.verdicts(*made)
    return made


@pytest.fixture
def draft(line: SeededStorage, s1: Station, flagged: list[verdicts.Verdict], now: datetime) -> NormalSet:
    """Version 2: the active set and the first flagged frame."""
    image = NormalImage(flagged[0].image_reference, "frame 1 of 2026-11-24 08:00:00")
    with line.database.begin() as session:
        return actions.draft(session, ADMIN, s1.name, [image], "a false alarm added", now)


def active_version(line: SeededStorage) -> int:
    with line.database.read() as session:
        found = normal_sets.active(session, 1)
    assert found is not None
    return found.version


def worked_out(
    line: SeededStorage, s1: Station, draft: NormalSet, flagged: list[verdicts.Verdict], now: datetime
) -> None:
    """A what-if of the draft, as a scorer stores it: the first frame was a false alarm and would pass."""
    with line.database.begin() as session:
        review_actions.label(
            session,
            ADMIN,
            [
                LabelSubmission(one.frame_id, one.frame_id, "false_alarm" if n == 0 else "defect")
                for n, one in enumerate(flagged)
            ],
            now,
        )
        job = job_actions.start_what_if(session, ADMIN, s1.name, draft.version, now)
        frames = what_if.frames_to_rescore(session, s1.id, 200)
        scores = {frame.frame_id: 0.3 if frame.label == "false_alarm" else frame.score for frame in frames}
        against = {image.reference: 0.2 + n / 1000 for n, image in enumerate(draft.images)}
        result = what_if.compare(WhatIfRequest(draft.version), MODEL, 0.4, GUARANTEE, frames, scores, against)
        jobs.claim(session, "scorer-1", ["what_if"], now)
        assert jobs.finish(session, job.id, "scorer-1", result.to_json(), now)


def test_a_draft_has_the_ticked_images_of_the_active_set_and_the_ticked_candidates(
    line: SeededStorage, s1: Station, normal_set: NormalSet, flagged: list[verdicts.Verdict], now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with line.database.begin() as session:
        for one in flagged[:2]:
            actions.propose(session, ADMIN, one.frame_id, now)
    app = opened(line, monkeypatch, "normals", station="s1", view="Draft")
    assert "**5 images**: 3 kept, 0 removed, 2 candidates, 0 uploads" in text(app)
    app.checkbox(key=f"base-{normal_set.images[0].reference}").uncheck()
    app.checkbox(key=f"candidate-{flagged[1].image_reference}").uncheck()
    app.text_input(key="draft_note").set_value("one in, one out")
    app.run()
    press(app, "create-draft")
    with line.database.read() as session:
        made = normal_sets.get(session, s1.id, 2)
        left = normal_candidates.list_all(session, s1.id)
    kept = [image.reference for image in normal_set.images[1:]]
    assert [image.reference for image in made.images] == [*kept, flagged[0].image_reference]
    assert (made.state, made.note) == ("draft", "one in, one out")
    assert [pick.image_reference for pick in left] == [
        flagged[1].image_reference
    ]  # still a candidate, only not in this draft
    assert "Version 2" in text(app)


def test_a_draft_takes_uploads_and_refuses_a_file_that_is_no_image(
    line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "normals", station="s1", view="Draft")
    app.file_uploader[0].set_value(("notes.jpg", b"no picture at all", "image/jpeg")).run()
    press(app, "create-draft")
    assert "notes.jpg" in app.error[0].value
    picture = jpeg(coins.frame(np.random.default_rng(4)))
    app.file_uploader[0].set_value(("new.jpg", picture, "image/jpeg")).run()
    press(app, "create-draft")
    with line.database.read() as session:
        made = normal_sets.get(session, s1.id, 2)
    assert made.images[-1].name == "new.jpg"
    assert line.images.get(made.images[-1].reference) == picture


def test_activation_needs_a_reason_and_rollback_is_one_click(
    line: SeededStorage, draft: NormalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "normals", station="s1")
    assert button(app, "roll-back").disabled
    app.button_group[-1].set_value("v2").run()
    press(app, "activate-")
    assert app.error
    assert active_version(line) == 1
    app.text_input(key=f"activation_reason-{draft.id}").set_value("fewer false alarms").run()
    press(app, "activate-")
    assert active_version(line) == 2
    press(app, "roll-back")
    assert active_version(line) == 1
    with line.database.read() as session:
        log = [(entry.action, entry.reason) for entry in reversed(audit_log.list_entries(session))]
    assert log[-2:] == [("normal_set.activate", "fewer false alarms"), ("normal_set.rollback", "")]


def test_a_what_if_warns_when_no_scorer_runs_and_two_presses_start_one(
    line: SeededStorage, s1: Station, draft: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "normals", station="s1", view="What if")
    assert "No scorer is running" in text(app)
    press(app, "start-")
    assert button(app, "start-").disabled
    with line.database.read() as session:
        (job,) = jobs.recent(session)
    assert (job.kind, job.payload, job.state) == ("what_if", {"version": 2, "last": 200}, "queued")
    press(app, "cancel-")
    with line.database.read() as session:
        assert jobs.get(session, job.id).state == "cancelled"


def test_a_what_if_shows_changed_decisions_and_both_errors_before_and_after(
    line: SeededStorage, s1: Station, draft: NormalSet, flagged: list[verdicts.Verdict], now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    worked_out(line, s1, draft, flagged, now)
    line.worker("scorer-1", now)
    app = opened(line, monkeypatch, "normals", station="s1", view="What if")
    content = text(app)
    assert "If version 2 were active" in content
    assert "<span>False rejects</span><b>1 → 0</b><small>of 1 reviewed good part</small>" in content
    assert "<span>Escapes</span><b>0 → 0</b><small>of 3 reviewed defects</small>" in content
    assert "<span>Would pass</span><b>1</b>" in content
    assert "<b>better</b>" in content
    assert GUARANTEE in content
    assert "0.500 → <b>0.300</b>" in content
    assert "No scorer is running" not in content


def test_leave_one_out_scores_are_shown_once_a_what_if_has_computed_them(
    line: SeededStorage, s1: Station, draft: NormalSet, flagged: list[verdicts.Verdict], now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    app = opened(line, monkeypatch, "normals", station="s1")
    assert image_checks.NO_SCORES in text(app)
    worked_out(line, s1, draft, flagged, now)
    app.button_group[-1].set_value("v2").run()
    assert "<b>0.203</b>" in text(app)
    assert "only in v2<small>1 image</small>" in text(app)


def test_a_threshold_is_set_by_hand_with_a_reason(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = (0.2, 0.3, 0.39)
    line.verdicts(
        *(verdict(line, s1, normal_set, n, now - timedelta(hours=1), score) for n, score in enumerate(scores))
    )
    app = opened(line, monkeypatch, "normals", station="s1", view="Threshold")
    app.number_input(key=f"threshold_value-{s1.id}").set_value(0.35).run()
    assert "1 of the last day's 3 frames (33 %)" in text(app)
    press(app, "set-1")
    assert app.error
    app.text_input(key="threshold_reason").set_value("glare").run()
    press(app, "set-1")
    with line.database.read() as session:
        newest = thresholds.history(session, s1.id)[0]
    assert (newest.value, newest.kind, newest.reason) == (0.35, "manual", "glare")
    assert list(app.dataframe[0].value["Threshold"]) == [0.35, 0.41]


def test_the_history_shows_both_limits_where_they_came_from_and_what_the_threshold_can_promise(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line.database.begin() as session:
        calibrated = thresholds.history(session, s1.id)[0]
        thresholds.record(
            session,
            replace(calibrated, value=0.38, review_limit=0.31, kind="estimated", guarantee="None; an estimate.",
                    reason="240 frames of the stream"),
        )  # fmt: skip
    app = opened(line, monkeypatch, "normals", station="s1", view="Threshold")
    history = app.dataframe[0].value
    assert list(history["Threshold"]) == [0.38, 0.41]
    assert history["Review limit"][0] == 0.31
    assert np.isnan(history["Review limit"][1])  # of a former version
    assert list(history["Origin"]) == [
        "Estimated from the stream, nobody reviewed it: 240 frames of the stream",
        "Calibrated on the normal set alone",
    ]
    assert history["Promise"][0] == "None; an estimate."
    content = text(app)
    assert '<b class="borderline">0.310</b><div><span>review limit</span>' in content
    shown = content.replace("\\", "")
    assert "Estimated from the stream, nobody reviewed it: 240 frames of the stream. Made by scorer-1" in shown


def test_the_reason_of_a_threshold_is_shown_as_it_was_typed_and_makes_no_link(
    line: SeededStorage, s1: Station, normal_set: NormalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line.database.begin() as session:
        calibrated = thresholds.history(session, s1.id)[0]
        reason = "[glare](https://evil.example) :red[**now**] ![](https://evil.example/a.png)"
        thresholds.record(session, replace(calibrated, kind="manual", reason=reason, made_by="a_b_c"))
    app = opened(line, monkeypatch, "normals", station="s1", view="Threshold")
    (caption,) = [each.value for each in app.caption if "Made by" in each.value]
    assert "[glare]" not in caption
    assert "![" not in caption
    assert ":red[" not in caption
    assert reason in caption.replace("\\", "")


def test_a_golden_frame_is_chosen_and_its_live_score_is_compared(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = verdict(line, s1, normal_set, 1, now - timedelta(minutes=1), 0.25)
    line.verdicts(frame)
    app = opened(line, monkeypatch, "normals", station="s1", view="Golden frame")
    press(app, "choose-")
    assert "<b>0.2500</b>" in text(app)
    press(app, "golden-0")
    with line.database.begin() as session:
        (job,) = jobs.recent(session, kind="golden")
        golden_frames.record_score(session, s1.id, 0.26, "scorer-1", now)
        jobs.claim(session, "scorer-1", ["golden"], now)
        jobs.finish(session, job.id, "scorer-1", {}, now)
    assert "<b>differs</b>" in text(app.run())


def test_a_viewer_sees_every_view_with_disabled_buttons(
    line: SeededStorage, s1: Station, draft: NormalSet, flagged: list[verdicts.Verdict], now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    worked_out(line, s1, draft, flagged, now)
    with line.database.begin() as session:
        for version in (2, 1):
            normal_sets.activate(session, s1.id, version, now)
    viewer = user(line, "visitor", Role.VIEWER, now)
    for view, label in (
        ("Versions", "roll-back"),
        ("Draft", "create-draft"),
        ("What if", "start-"),
        ("Threshold", "set-1"),
        ("Threshold", "set-rate"),
        ("Golden frame", "golden-by-id"),
    ):
        assert button(opened(line, monkeypatch, "normals", viewer, station="s1", view=view), label).disabled


def test_near_duplicates_and_outliers_are_marked(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [Image.open(io.BytesIO(data)) for data in normals("coins", 6)]
    brighter = pictures[0].point(lambda value: min(255, int(1.02 * value)))
    line.normals(s1, [*pictures, brighter, Image.open(io.BytesIO(normals("brick", 2)[0]))], now)
    content = text(opened(line, monkeypatch, "normals", station="s1"))
    assert "1 image is an outlier" in content
    assert "2 images are nearly the same" in content
    assert "nearly the same as good-06.jpg" in content
    assert content.count('data-doubtful="true"') == 3
