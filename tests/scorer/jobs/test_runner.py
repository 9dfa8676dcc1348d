"""Jobs of a scorer on a real line: what-ifs and golden frames."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from scorer.images import RetriableImageStore
from scorer.jobs.runner import JobRunner
from scorer.recipes.loader import RecipeLoader
from scorer.worker.progress import Progress
from storage.actions import golden_frames as golden_frame_actions
from storage.actions import jobs as job_actions
from storage.actions import reviews as review_actions
from storage.auth.actors import Actor, Role
from storage.line import golden_frames, jobs, normal_sets, stations
from storage.line.jobs import Job
from storage.line.what_if import WhatIfResult
from storage.review.reviews import LabelSubmission
from testing.line import START, Line, encoded, part, running

pytestmark = pytest.mark.usefixtures("one_thread")

NOW = START + timedelta(hours=1)
ENGINEER = Actor("ada", Role.ENGINEER)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    line = Line(tmp_path)
    line.add_station("s1")
    line.add_normal_set("s1")
    return line


def runner_of(line: Line) -> JobRunner:
    store = RetriableImageStore(line.images)
    recipes = RecipeLoader(line.database, store, line.settings, "w1", lambda: NOW)
    return JobRunner(line.database, store, line.settings, "w1", lambda: NOW, recipes)


def get_job(line: Line, number: int) -> Job:
    with line.database.read() as session:
        return jobs.get(session, number)


def request_what_if(line: Line, version: int, last: int = 50) -> int:
    with line.database.begin() as session:
        return job_actions.start_what_if(session, ENGINEER, "s1", version, NOW, last).id


def give_label(line: Line, frame_id: object, label: str) -> None:
    with line.database.begin() as session:
        review_actions.label(session, ENGINEER, [LabelSubmission(frame_id, frame_id, label)], NOW)  # type: ignore[arg-type]


def test_a_draft_with_the_unusual_part_would_pass_flagged_frames(line: Line) -> None:
    """Some good parts have a dark blot; a person labelled it a false alarm."""
    line.publish_parts("s1", 10, defect=lambda number: number in (3, 7))
    line.drain()
    flagged = [verdict for verdict in line.verdicts("s1") if verdict.decision == "flag"]
    assert len(flagged) == 2
    for verdict in flagged:
        give_label(line, verdict.frame_id, "false_alarm")
    with line.database.begin() as session:
        station = stations.get(session, "s1")
        now = normal_sets.active(session, station.id)
        assert now is not None
        odd = [normal_sets.NormalImage(line.images.put(encoded(part(n, defect=True))), f"{n}.png") for n in (3, 40, 41)]
        draft = normal_sets.add(session, station.id, [*now.images, *odd], "", NOW)
    number = request_what_if(line, draft.version)
    assert runner_of(line).run_next()
    done = get_job(line, number)
    assert (done.state, done.progress, done.total) == ("done", 9, 9)
    result = WhatIfResult.from_json(done.result)
    assert result.own == 1  # part 3 is one of the draft's images, and would be compared with itself
    assert (result.rescored, result.not_rescored, result.good, result.defects) == (9, 0, 1, 0)
    assert [flip.frame_id for flip in result.to_pass] == [flagged[1].frame_id]
    assert (result.before.false_rejects, result.after.false_rejects) == (1, 0)
    assert len(result.normal_scores) == 7
    assert [verdict.decision for verdict in line.verdicts("s1")].count("flag") == 2


def test_a_what_if_with_the_active_set_changes_nothing(line: Line) -> None:
    line.publish_parts("s1", 6, defect=lambda number: number == 2)
    line.drain()
    number = request_what_if(line, 1)
    assert runner_of(line).run_next()
    result = WhatIfResult.from_json(get_job(line, number).result)
    assert (result.to_pass, result.to_flag, result.rescored) == ((), (), 6)
    assert result.threshold == line.verdicts("s1")[0].threshold


def test_a_frame_with_a_missing_image_is_counted_and_the_others_are_rescored(line: Line) -> None:
    line.publish_parts("s1", 4)
    line.drain()
    lost = line.verdicts("s1")[1].image_reference
    next(path for path in line.folder.rglob("*") if path.name.startswith(lost[7:20])).unlink()
    number = request_what_if(line, 1)
    runner_of(line).run_next()
    result = WhatIfResult.from_json(get_job(line, number).result)
    assert (result.rescored, result.not_rescored) == (3, 1)


def test_a_draft_with_a_missing_image_fails_with_the_reason(line: Line) -> None:
    line.publish_parts("s1", 2)
    line.drain()
    draft = line.add_normal_set("s1", first=2000, activate=False)
    first = draft.images[0].reference
    next(path for path in line.folder.rglob("*") if path.name.startswith(first[7:20])).unlink()
    number = request_what_if(line, draft.version)
    runner_of(line).run_next()
    failed = get_job(line, number)
    assert failed.state == "failed"
    assert "0.png" in (failed.error or "")


def test_a_cancelled_job_is_not_run(line: Line) -> None:
    number = request_what_if(line, 1)
    with line.database.begin() as session:
        job_actions.cancel(session, ENGINEER, number, NOW)
    assert not runner_of(line).run_next()
    assert get_job(line, number).state == "cancelled"


def test_a_golden_frame_scores_the_same_again(line: Line) -> None:
    line.publish_parts("s1", 3)
    line.drain()
    chosen = line.verdicts("s1")[1]
    with line.database.begin() as session:
        golden_frame_actions.choose(session, ENGINEER, chosen.frame_id, NOW)
        number = job_actions.start_golden(session, ENGINEER, "s1", NOW).id
    line.add_normal_set("s1", first=3000)  # another set is in force by now
    runner_of(line).run_next()
    done = get_job(line, number)
    assert done.state == "done"
    assert done.result["score"] == pytest.approx(chosen.score, abs=1e-5)
    with line.database.read() as session:
        frame = golden_frames.find(session, chosen.station_id)
    assert frame is not None
    assert frame.agrees


def test_a_golden_frame_of_another_model_is_refused(line: Line) -> None:
    line.publish_parts("s1", 1)
    line.drain()
    with line.database.begin() as session:
        golden_frame_actions.choose(session, ENGINEER, line.verdicts("s1")[0].frame_id, NOW)
        number = job_actions.start_golden(session, ENGINEER, "s1", NOW).id
    line.settings = line.settings.model_copy(update={"detector": "padim"})
    runner_of(line).run_next()
    assert get_job(line, number).error


def test_a_running_worker_runs_jobs_between_frames(line: Line) -> None:
    line.publish_parts("s1", 4)
    with running(line.worker()) as progress:
        progress.wait_for(lambda done: done.verdicts == 4)
        number = request_what_if(line, 1)
        line.publish_parts("s1", 30)
        progress.wait_for(lambda done: done.verdicts == 34)
        published = 34
        while not get_job(line, number).is_over and published < 400:
            line.publish_parts("s1", 1)
            published += 1
            progress.wait_for(has_verdicts(published))
    assert get_job(line, number).state == "done"


def has_verdicts(count: int) -> Callable[[Progress], bool]:
    return lambda done: done.verdicts == count
