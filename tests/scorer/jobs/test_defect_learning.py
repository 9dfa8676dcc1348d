"""A station learns what its defects look like: from labels to the scores of the next frames, on a real line."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from foundation.failpoints import LEARNING_FAILPOINT
from scorer.detectors.capabilities.defect_term import COMPONENT
from scorer.images import RetriableImageStore
from scorer.jobs.defect_learning import DefectLearning
from scorer.jobs.head_fitting import HeadFitting
from scorer.jobs.questions import QuestionChooser
from scorer.jobs.recalibration import Recalibration
from scorer.jobs.rescoring import Rescorer
from scorer.learning.limits import MIN_STREAM_FRAMES
from scorer.recipes.loader import RecipeLoader
from storage.actions import golden_frames as golden_actions
from storage.actions import reviews as review_actions
from storage.auth.actors import Actor, Role
from storage.blobs.image_store import ImageStore
from storage.database.tables import VerdictRow
from storage.learning import defect_sets, stream_scores
from storage.learning.defect_sets import DefectSet
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import StationSettings
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.review.labels import Label
from storage.review.reviews import LabelSubmission
from testing.line import START, Line, copied, encoded, part

pytestmark = pytest.mark.usefixtures("one_thread")

NOW = START + timedelta(hours=1)
INSPECTOR = Actor("mia", Role.INSPECTOR)
DEFECTS = (7, 60, 90)
HIGHEST = 8


@pytest.fixture(scope="module")
def _streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a line by whose station good parts and three defects went, of which the highest are labelled."""
    folder = tmp_path_factory.mktemp("streamed")
    line = Line(folder)
    line.add_station("s1")
    line.add_normal_set("s1")
    line.publish_parts("s1", MIN_STREAM_FRAMES + 20, defect=lambda number: number in DEFECTS)
    line.drain()
    highest = sorted(line.verdicts("s1"), key=lambda verdict: -(verdict.score or 0))[:HIGHEST]
    give_label(line, [verdict.frame_id for verdict in highest[:3]], "defect")
    give_label(line, [verdict.frame_id for verdict in highest[3:]], "false_alarm")
    line.close()
    return folder


@pytest.fixture
def line(_streamed: Path, tmp_path: Path) -> Line:
    """A copy of that line, whose images are shared."""
    return copied(_streamed, tmp_path)


def recalibration_of(line: Line, name: str = "w1", images: ImageStore | None = None) -> Recalibration:
    store = RetriableImageStore(images or line.images)
    recipes = RecipeLoader(line.database, store, line.settings, name, lambda: NOW)
    heads = HeadFitting(Rescorer(store, line.settings), name, lambda: NOW)
    defects = DefectLearning(line.database, recipes, heads, lambda: NOW)
    return Recalibration(line.database, name, lambda: NOW, recipes, QuestionChooser(store, line.settings), defects)


def give_label(line: Line, frames: Sequence[UUID], label: Label) -> None:
    with line.database.begin() as session:
        review_actions.label(session, INSPECTOR, [LabelSubmission(uuid4(), frame, label) for frame in frames], NOW)


def history(line: Line) -> list[DefectSet]:
    with line.database.read() as session:
        return defect_sets.history(session, 1)


def newest_threshold(line: Line) -> Threshold:
    with line.database.read() as session:
        return thresholds.history(session, 1)[0]


def labelled_defects(line: Line) -> set[UUID]:
    with line.database.read() as session:
        return {frame.frame_id for frame in stream_scores.defects(session, 1, 100)}


def inspect(line: Line, image: bytes) -> Verdict:
    """Let one more part stream by, and return its verdict."""
    (frame_id,) = line.publish("s1", [image])
    line.worker(clock=lambda: NOW).run(threading.Event(), drain=True, progress=lambda _: None)
    return next(verdict for verdict in line.verdicts("s1") if verdict.frame_id == frame_id)


def test_the_next_frames_are_scored_with_a_head_fitted_to_the_labelled_defects(line: Line) -> None:
    before = line.verdicts("s1")[0]
    assert recalibration_of(line).run_where_labelled() == 1
    (defect_set,) = history(line)
    assert defect_set.in_use
    assert set(defect_set.defects) == labelled_defects(line)
    assert defect_set.caught >= defect_set.caught_without
    threshold = newest_threshold(line)
    assert (threshold.model_id, threshold.kind) == (defect_set.scoring_model_id, "reviewed")
    good, bad = inspect(line, encoded(part(501))), inspect(line, encoded(part(502, defect=True)))
    assert COMPONENT not in before.components
    assert {COMPONENT} < set(good.components)
    assert before.model_id == defect_set.model_id
    assert good.model_id == bad.model_id == defect_set.scoring_model_id
    assert (good.decision, bad.decision) == ("pass", "flag")
    assert good.threshold == threshold.value


def test_the_stream_of_a_head_begins_with_the_frames_that_it_was_fitted_to(line: Line) -> None:
    recalibration_of(line).run_where_labelled()
    (defect_set,) = history(line)
    with line.database.read() as session:
        key = 1, defect_set.normal_set_id, defect_set.scoring_model_id
        stream = stream_scores.recent(session, *key, START)
    assert len(stream) == len(line.verdicts("s1"))
    assert {frame.frame_id for frame in stream if frame.label == "defect"} == labelled_defects(line)


def test_nothing_is_learnt_twice_and_two_workers_agree(line: Line) -> None:
    first, second = recalibration_of(line, "w1"), recalibration_of(line, "w2")
    first.run_where_labelled()
    first.run()
    second.run_where_labelled()
    second.run()
    assert [one.made_by for one in history(line)] == ["w1"]


def test_another_defect_makes_another_version(line: Line) -> None:
    recalibration = recalibration_of(line)
    recalibration.run_where_labelled()
    bad = inspect(line, encoded(part(502, defect=True)))
    give_label(line, [bad.frame_id], "defect")
    recalibration.run_where_labelled()
    newest, first = history(line)
    assert (newest.version, first.version) == (2, 1)
    assert set(newest.defects) == {*first.defects, bad.frame_id}


def test_a_defect_whose_image_is_gone_makes_no_version_again_and_again(line: Line) -> None:
    recalibration_of(line).run_where_labelled()
    bad = inspect(line, encoded(part(502, defect=True)))
    with line.database.begin() as session:
        gone = update(VerdictRow).where(VerdictRow.frame_id == bad.frame_id)
        session.execute(gone.values(image_reference="sha256:" + "0" * 64))
    give_label(line, [bad.frame_id], "defect")
    recalibration_of(line).run_where_labelled()
    recalibration_of(line).run_where_labelled()
    assert len(history(line)) == 1


def test_a_station_whose_normals_are_gone_does_not_end_learning(line: Line, tmp_path: Path) -> None:
    (line.folder / "references").unlink()
    (tmp_path / "no images").mkdir()
    recalibration = recalibration_of(line, images=ImageStore(str(tmp_path / "no images")))
    assert recalibration.run_where_labelled() == 1  # its limits, which need no image
    assert history(line) == []


def test_without_a_defect_any_more_the_normals_alone_count_again(line: Line) -> None:
    recalibration = recalibration_of(line)
    recalibration.run_where_labelled()
    give_label(line, sorted(labelled_defects(line)), "false_alarm")
    recalibration.run_where_labelled()
    newest, first = history(line)
    assert (newest.in_use, newest.defects) == (False, ())
    assert newest_threshold(line).model_id == first.model_id
    assert inspect(line, encoded(part(501))).model_id == first.model_id


def test_a_station_that_may_not_learn_defects_never_does(line: Line) -> None:
    recalibration = recalibration_of(line)
    recalibration.run_where_labelled()
    with line.database.begin() as session:
        stations.edit(session, "s1", StationSettings(learn_defects=False, sample_one_in=0))
    verdict = inspect(line, encoded(part(501)))
    assert verdict.model_id == history(line)[0].model_id
    recalibration_of(line).run()
    assert not history(line)[0].in_use
    assert newest_threshold(line).model_id == verdict.model_id


def test_another_false_reject_rate_gets_a_head_with_a_threshold_for_it(line: Line) -> None:
    recalibration_of(line).run_where_labelled()
    with line.database.begin() as session:
        stations.edit(session, "s1", StationSettings(false_reject_rate=0.02, sample_one_in=0))
    assert inspect(line, encoded(part(501))).model_id == history(line)[0].model_id  # nobody promised 2 % with the head
    recalibration_of(line).run()
    newest = newest_threshold(line)
    assert (newest.false_reject_rate, newest.model_id) == (0.02, history(line)[0].scoring_model_id)


def test_a_manual_threshold_keeps_its_model(line: Line) -> None:
    with line.database.begin() as session:
        current = thresholds.history(session, 1)[0]
        thresholds.record(session, replace(current, value=0.9, kind="manual", reason="trial"))
    recalibration_of(line).run_where_labelled()
    assert history(line) == []


def test_a_golden_frame_is_scored_by_the_head_that_it_was_chosen_with(line: Line) -> None:
    recalibration = recalibration_of(line)
    recalibration.run_where_labelled()
    verdict = inspect(line, encoded(part(501)))
    with line.database.begin() as session:
        golden_actions.choose(session, Actor("ada", Role.ENGINEER), verdict.frame_id, NOW)
    bad = inspect(line, encoded(part(502, defect=True)))
    give_label(line, [bad.frame_id], "defect")
    recalibration.run_where_labelled()
    recipes = RecipeLoader(line.database, RetriableImageStore(line.images), line.settings, "w1", lambda: NOW)
    with line.database.read() as session:
        station = stations.get(session, "s1")
        active = normal_sets.active(session, station.id)
    assert active is not None
    assert verdict.model_id is not None
    recipe = recipes.recipe_of_model(station, active, verdict.model_id)
    assert recipe is not None
    (score,) = Rescorer(RetriableImageStore(line.images), line.settings).scores([verdict.image_reference], recipe)
    assert score == pytest.approx(verdict.score)


def test_a_worker_that_is_killed_while_it_records_a_head_leaves_what_was_before(line: Line) -> None:
    before = newest_threshold(line)
    learning = "\n".join(
        (
            "from pathlib import Path",
            "from testing.line import Line",
            "from tests.scorer.jobs.test_defect_learning import recalibration_of",
            f"recalibration_of(Line(Path({str(line.folder)!r}))).run_where_labelled()",
        )
    )
    environment = os.environ | {"ANDON_TEST_FAILPOINT": LEARNING_FAILPOINT}
    killed = subprocess.run([sys.executable, "-c", learning], env=environment, cwd=Path.cwd(), timeout=170)
    assert killed.returncode == -signal.SIGKILL
    assert history(line) == []
    after = newest_threshold(line)
    assert (after.model_id, after.normal_set_id) == (before.model_id, before.normal_set_id)
    recalibration_of(line).run_where_labelled()
    assert history(line)[0].in_use
