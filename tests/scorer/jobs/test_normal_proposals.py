"""Normals proposed from a real line's stream, and stations that activate them by themselves."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from scorer.errors import InvalidNormalSet
from scorer.images import RetriableImageStore
from scorer.jobs.autopilot import STREAM_FRAMES, Autopilot
from scorer.jobs.draft_trial import DraftTrial
from scorer.jobs.head_fitting import HeadFitting
from scorer.jobs.normal_proposals import NormalProposals
from scorer.jobs.rescoring import Rescorer
from scorer.jobs.runner import JobRunner
from scorer.jobs.stream import may_join
from scorer.recipes.loader import RecipeLoader
from storage.actions import jobs as job_actions
from storage.actions import normal_sets as normal_set_actions
from storage.actions import reviews as review_actions
from storage.alerts import alerts
from storage.auth import audit_log
from storage.auth.actors import AUTOPILOT, Actor, Role
from storage.errors import InvalidChange
from storage.learning.stream_scores import StreamScore
from storage.line import jobs, normal_sets, stations, thresholds
from storage.line.jobs import Job
from storage.line.normal_sets import MAX_IMAGES, NormalImage, NormalSet
from storage.line.stations import Autopilot as AutopilotMode
from storage.line.stations import StationSettings
from storage.line.what_if import WhatIfResult
from storage.review.reviews import LabelSubmission
from testing.line import START, Line, copied

pytestmark = pytest.mark.usefixtures("one_thread")

NOW = START + timedelta(hours=1)
ENGINEER = Actor("ada", Role.ENGINEER)
DEFECTS = (7, 60, 120)


@pytest.fixture(scope="module")
def _streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a line by whose station a stream of good parts and three defects went."""
    folder = tmp_path_factory.mktemp("streamed")
    line = Line(folder)
    line.add_station("s1")
    line.add_normal_set("s1")
    line.publish_parts("s1", STREAM_FRAMES + 20, defect=lambda number: number in DEFECTS)
    line.drain()
    line.close()
    return folder


@pytest.fixture
def line(_streamed: Path, tmp_path: Path) -> Line:
    """A copy of that line, whose images are shared."""
    return copied(_streamed, tmp_path)


def recipes_of(line: Line) -> RecipeLoader:
    return RecipeLoader(line.database, RetriableImageStore(line.images), line.settings, "w1", lambda: NOW)


def propose(line: Line, job: Job) -> dict[str, object]:
    rescorer = Rescorer(RetriableImageStore(line.images), line.settings)
    recipes, heads = recipes_of(line), HeadFitting(rescorer, "w1", lambda: NOW)
    trial = DraftTrial(line.database, recipes, rescorer, heads, "w1", lambda: NOW)
    proposals = NormalProposals(line.database, recipes, rescorer, trial, lambda: NOW)
    return proposals.run(job, lambda _done, _total: None)


def requested(line: Line, by: Actor = ENGINEER) -> Job:
    with line.database.begin() as session:
        if by is AUTOPILOT:
            return jobs.enqueue(session, "propose_normals", 1, {}, AUTOPILOT.name, NOW)
        return job_actions.start_proposal(session, by, "s1", NOW)


def set_autopilot(line: Line, mode: AutopilotMode) -> None:
    with line.database.begin() as session:
        stations.edit(session, "s1", StationSettings(autopilot=mode, sample_one_in=0))


def label_defects(line: Line) -> set[str]:
    """Label the three defects as such, and return the references of their images."""
    defects = [line.verdicts("s1")[number] for number in DEFECTS]
    with line.database.begin() as session:
        submissions = [LabelSubmission(uuid4(), verdict.frame_id, "defect") for verdict in defects]
        review_actions.label(session, ENGINEER, submissions, NOW)
    return {verdict.image_reference for verdict in defects}


def all_sets(line: Line) -> list[NormalSet]:
    with line.database.read() as session:
        return normal_sets.list_all(session, 1)


def test_a_proposal_is_a_draft_of_one_half_of_the_stream_with_limits_from_the_other_and_none_of_a_defect(
    line: Line,
) -> None:
    defects = label_defects(line)
    job = requested(line)
    result = propose(line, job)
    draft, active = all_sets(line)
    assert (draft.state, active.state) == ("draft", "active")
    added = {image.reference for image in normal_sets.diff(active, draft).added}
    assert len(draft.images) == MAX_IMAGES
    assert (result["version"], result["added"], result["frames"]) == (2, MAX_IMAGES - 4, STREAM_FRAMES + 20)
    assert result["activated"] is False
    joined = {frame.image_reference for frame in line.verdicts("s1") if may_join(_as_stream(frame.frame_id))}
    assert added <= joined
    assert not added & defects
    with line.database.read() as session:
        of_draft = [one for one in thresholds.history(session, 1) if one.normal_set_id == draft.id]
    assert [one.kind for one in of_draft] == ["estimated", "calibrated"]
    assert propose(line, job)["version"] == 2, "a job that is repeated after a crash"
    assert len(all_sets(line)) == 2


def _as_stream(frame_id: object) -> StreamScore:
    return StreamScore(frame_id, NOW, "pass", 0.1, "sha256:0", None)  # type: ignore[arg-type]


def test_a_what_if_is_requested_and_leaves_out_the_frames_that_joined(line: Line) -> None:
    requested(line)
    runner = JobRunner(
        line.database, RetriableImageStore(line.images), line.settings, "w1", lambda: NOW, recipes_of(line)
    )
    assert runner.run_next()  # the proposal
    assert runner.run_next()  # its what-if
    with line.database.read() as session:
        newest = jobs.recent(session, 1, kind="what_if")[0]
    result = WhatIfResult.from_json(newest.result)
    draft = all_sets(line)[0]
    references = {frame.frame_id: frame.image_reference for frame in line.verdicts("s1")}
    own = {image.reference for image in draft.images}
    flipped = {references[flip.frame_id] for flip in (*result.to_pass, *result.to_flag)}
    assert result.rescored + result.own == 200
    assert result.own > 0
    assert not flipped & own


def test_a_short_stream_is_refused_with_its_length(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.add_station("s1")
    line.add_normal_set("s1")
    line.publish_parts("s1", 12)
    line.drain()
    with pytest.raises(InvalidNormalSet, match="12 frames"):
        propose(line, requested(line))


def test_one_proposal_at_a_time(line: Line) -> None:
    requested(line)
    with pytest.raises(InvalidChange):
        requested(line)


def test_a_set_with_an_image_that_was_labelled_a_defect_is_neither_added_nor_activated(line: Line) -> None:
    verdict = line.verdicts("s1")[3]
    image = NormalImage(verdict.image_reference, "3.png")
    with line.database.begin() as session:
        normal_set_actions.draft(session, ENGINEER, "s1", [image], "", NOW)
        review_actions.label(session, ENGINEER, [LabelSubmission(uuid4(), verdict.frame_id, "defect")], NOW)
    with line.database.begin() as session, pytest.raises(InvalidChange):
        normal_set_actions.activate(session, ENGINEER, "s1", 2, NOW)
    with line.database.begin() as session, pytest.raises(InvalidChange):
        normal_set_actions.draft(session, ENGINEER, "s1", [image], "", NOW)


def test_the_autopilot_requests_one_proposal_a_day_unless_it_is_off(line: Line) -> None:
    autopilot = Autopilot(line.database, lambda: NOW)
    set_autopilot(line, "off")
    assert autopilot.run() == 0
    set_autopilot(line, "propose")
    assert autopilot.run() == 1
    assert autopilot.run() == 0
    with line.database.read() as session:
        assert [job.requested_by for job in jobs.recent(session, 1)] == [AUTOPILOT.name]


def test_the_autopilot_freezes_while_the_scores_drift(line: Line) -> None:
    with line.database.begin() as session:
        alerts.open_episode(session, 1, "score_drift", "warning", "The scores drift.", {}, NOW)
    assert Autopilot(line.database, lambda: NOW).run() == 0


def test_a_station_that_may_act_activates_the_draft_with_an_audit_entry(line: Line) -> None:
    label_defects(line)
    set_autopilot(line, "act")
    result = propose(line, requested(line, AUTOPILOT))
    assert result["reasons"] == []
    assert [normal_set.state for normal_set in all_sets(line)] == ["active", "retired"]
    with line.database.read() as session:
        entries = audit_log.list_entries(session)
    assert [entry.action for entry in entries if entry.actor == AUTOPILOT.name] == [
        "normal_set.activate",
        "normal_set.add",
    ]


def test_a_station_that_may_act_does_not_while_the_scores_drift(line: Line) -> None:
    set_autopilot(line, "act")
    with line.database.begin() as session:
        alerts.open_episode(session, 1, "score_drift", "warning", "The scores drift.", {}, NOW)
    result = propose(line, requested(line, AUTOPILOT))
    assert len(result["reasons"]) == 1  # type: ignore[arg-type]
    assert [normal_set.state for normal_set in all_sets(line)] == ["draft", "active"]
