"""Limits that follow a real line's stream and labels, and the frames that a station asks about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from scorer.errors import ImageStoreUnavailable
from scorer.images import RetriableImageStore
from scorer.jobs.defect_learning import DefectLearning
from scorer.jobs.head_fitting import HeadFitting
from scorer.jobs.questions import QuestionChooser
from scorer.jobs.recalibration import Recalibration
from scorer.jobs.rescoring import Rescorer
from scorer.learning.limits import MIN_ANSWERS, MIN_STREAM_FRAMES, QUESTIONS
from scorer.recipes.loader import RecipeLoader
from storage.actions import reviews as review_actions
from storage.auth.actors import Actor, Role
from storage.line import stations, thresholds
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.review import review_queue
from storage.review.labels import Label
from storage.review.review_queue import ASKED_FROM, QueueFilter
from storage.review.reviews import LabelSubmission
from testing.line import START, Line, encoded, part, running

pytestmark = pytest.mark.usefixtures("one_thread")

NOW = START + timedelta(hours=1)
INSPECTOR = Actor("mia", Role.INSPECTOR)
DEFECTS = (7, 60)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    line = Line(tmp_path)
    line.add_station("s1")
    line.add_normal_set("s1")
    return line


def recalibration_of(line: Line, name: str = "w1") -> Recalibration:
    store = RetriableImageStore(line.images)
    recipes = RecipeLoader(line.database, store, line.settings, name, lambda: NOW)
    heads = HeadFitting(Rescorer(store, line.settings), name, lambda: NOW)
    defects = DefectLearning(line.database, recipes, heads, lambda: NOW)
    questions = QuestionChooser(store, line.settings)
    return Recalibration(line.database, name, lambda: NOW, recipes, questions, defects)


def stream_by(line: Line, frames: int = MIN_STREAM_FRAMES) -> list[Verdict]:
    """Let so many parts stream by, two of them defects, and return their verdicts, the highest score first."""
    line.publish_parts("s1", frames, defect=lambda number: number in DEFECTS)
    line.drain()
    return sorted(line.verdicts("s1"), key=lambda verdict: -(verdict.score or 0))


def asked_frames(line: Line) -> list[UUID]:
    with line.database.read() as session:
        return review_queue.asked(session, stations.get(session, "s1").id)


def give_label(line: Line, frames: Sequence[UUID], label: Label) -> None:
    with line.database.begin() as session:
        review_actions.label(session, INSPECTOR, [LabelSubmission(uuid4(), frame, label) for frame in frames], NOW)


def history(line: Line) -> list[Threshold]:
    with line.database.read() as session:
        return thresholds.history(session, stations.get(session, "s1").id)


def test_a_station_starts_with_limits_of_its_normals_and_asks_nothing(line: Line) -> None:
    stream_by(line, ASKED_FROM - 1)
    assert recalibration_of(line).run() == 0
    (first,) = history(line)
    assert first.kind == "calibrated"
    assert first.review_limit is not None
    assert first.review_limit <= first.value
    assert asked_frames(line) == []


def test_from_thirty_frames_on_a_station_asks_and_the_answers_put_the_threshold_below_the_defects(line: Line) -> None:
    highest = stream_by(line, ASKED_FROM)  # one of them a defect
    recalibration = recalibration_of(line)
    assert recalibration.run() == 0  # nobody has answered
    asked = asked_frames(line)
    assert len(asked) == QUESTIONS
    assert asked[0] == highest[0].frame_id
    give_label(line, asked[:1], "defect")
    give_label(line, asked[1:MIN_ANSWERS], "false_alarm")
    assert recalibration.run_where_labelled() == 1
    newest, first = history(line)
    assert newest.kind == "reviewed"
    assert newest.value < first.value
    assert (highest[1].score or 0) < newest.value < (highest[0].score or 0)


def test_from_a_hundred_frames_on_a_station_estimates_its_limits_and_asks_about_the_highest_frames(line: Line) -> None:
    highest = stream_by(line)
    assert recalibration_of(line).run() == 1
    newest, first = history(line)
    assert (newest.kind, first.kind) == ("estimated", "calibrated")
    assert newest.value <= first.value
    asked = asked_frames(line)
    assert len(asked) == QUESTIONS
    assert asked[:2] == [verdict.frame_id for verdict in highest[:2]]
    with line.database.read() as session:
        queued = review_queue.list_queued(session, QueueFilter(only_questions=True))
    assert [frame.frame_id for frame in queued] == asked
    assert [frame.question for frame in queued] == list(range(1, QUESTIONS + 1))


def test_each_answer_moves_the_limits_and_the_station_stops_asking_after_ten(line: Line) -> None:
    recalibration = recalibration_of(line)
    defects = {verdict.frame_id for verdict in stream_by(line)[:2]}
    recalibration.run()
    for _ in range(QUESTIONS):
        asked = asked_frames(line)[0]
        give_label(line, [asked], "defect" if asked in defects else "false_alarm")
        recalibration.run_where_labelled()
    assert asked_frames(line) == []
    newest = history(line)[0]
    assert newest.kind == "reviewed"
    flagged = {verdict.frame_id for verdict in line.verdicts("s1") if (verdict.score or 0) > newest.value}
    assert defects <= flagged


def test_without_a_new_label_nothing_is_computed_again(line: Line) -> None:
    stream_by(line)
    recalibration = recalibration_of(line)
    recalibration.run()
    assert recalibration.run_where_labelled() == 0
    assert recalibration.run() == 0  # the stream has not grown
    assert len(history(line)) == 2


def test_two_workers_agree_and_the_second_writes_nothing(line: Line) -> None:
    stream_by(line)
    assert recalibration_of(line, "w1").run() == 1
    asked = asked_frames(line)
    assert recalibration_of(line, "w2").run() == 0
    assert asked_frames(line) == asked
    assert [threshold.made_by for threshold in history(line)] == ["w1", "w1"]


def test_look_alikes_are_asked_about_once(line: Line) -> None:
    """A burst of one defect, seen six times, is one question."""
    line.publish("s1", [encoded(part(7, defect=True))] * 6)
    line.publish_parts("s1", MIN_STREAM_FRAMES)
    line.drain()
    burst = {verdict.frame_id for verdict in line.verdicts("s1")[:6]}
    recalibration_of(line).run()
    assert len(burst & set(asked_frames(line))) == 1


def test_a_manual_threshold_stays_and_its_station_asks_nothing(line: Line) -> None:
    stream_by(line)
    with line.database.begin() as session:
        found = thresholds.history(session, stations.get(session, "s1").id)[0]
        thresholds.record(session, replace(found, value=0.5, kind="manual", reason="trial"))
    assert recalibration_of(line).run() == 0
    assert history(line)[0].kind == "manual"
    assert asked_frames(line) == []


def test_frames_between_the_limits_pass_and_are_queued(line: Line) -> None:
    stream_by(line)
    recalibration_of(line).run()
    limits = history(line)[0]
    assert limits.review_limit is not None
    line.publish("s1", [encoded(part(number)) for number in range(200, 260)])
    line.drain()
    after = line.verdicts("s1")[MIN_STREAM_FRAMES:]
    assert {verdict.review_limit for verdict in after} == {limits.review_limit}
    borderline = {verdict.frame_id for verdict in after if verdict.is_borderline}
    with line.database.read() as session:
        queued = {frame.frame_id for frame in review_queue.list_queued(session, QueueFilter(), limit=1000)}
    assert {verdict.decision for verdict in after if verdict.is_borderline} <= {"pass"}
    assert borderline <= queued


def test_a_running_worker_follows_a_label_within_its_poll_interval(tmp_path: Path) -> None:
    line = Line(tmp_path, recalibration_interval_s=0.1)
    line.add_station("s1")
    line.add_normal_set("s1")
    line.publish_parts("s1", MIN_STREAM_FRAMES + 20, defect=lambda number: number in DEFECTS)
    with running(line.worker(clock=lambda: NOW)) as progress:
        progress.wait_for(lambda done: done.verdicts == MIN_STREAM_FRAMES + 20)
        published = MIN_STREAM_FRAMES + 20
        while history(line)[0].kind != "reviewed" and published < 600:
            asked = asked_frames(line)
            if len(asked) > QUESTIONS - MIN_ANSWERS:
                give_label(line, asked[:1], "false_alarm")
            line.publish_parts("s1", 1)
            published += 1
            expected = published
            progress.wait_for(lambda done, expected=expected: done.verdicts == expected)  # type: ignore[misc]
    assert history(line)[0].kind == "reviewed"


def test_a_station_whose_images_can_not_be_read_is_tried_again_and_its_labels_are_not_lost(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    defects = [verdict.frame_id for verdict in stream_by(line)[:2]]
    recalibration = recalibration_of(line)
    with monkeypatch.context() as broken:
        broken.setattr(QuestionChooser, "choose", _unavailable)
        with pytest.raises(ImageStoreUnavailable):
            recalibration.run()
        give_label(line, defects, "defect")
        with pytest.raises(ImageStoreUnavailable):
            recalibration.run_where_labelled()
    assert recalibration.run_where_labelled() == 1
    assert recalibration.run() == 0
    assert set(defects).isdisjoint(asked_frames(line))


def _unavailable(*_: object) -> list[UUID]:
    raise ImageStoreUnavailable("The image store can't be reached.")


def test_a_label_given_just_before_a_regular_run_is_still_followed(line: Line) -> None:
    highest = stream_by(line)
    recalibration = recalibration_of(line)
    recalibration.run()
    give_label(line, [highest[0].frame_id], "defect")
    recalibration.run()  # the stream has not grown: the station is not due
    recalibration.run_where_labelled()
    assert highest[0].frame_id not in asked_frames(line)
    assert len(asked_frames(line)) == QUESTIONS - 1
