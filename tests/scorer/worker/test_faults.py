"""N frames in, exactly N verdicts or dead letters out, whatever fails in the scorer, on both lines.

Outages of buses and databases are in the modules beside this one; docs/explanation/delivery.md lists all faults.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from foundation.failpoints import WORKER_FAILPOINTS
from scorer.imaging.framing import Framed
from scorer.worker.progress import Progress
from testing.line import START, Line, encoded, part, running
from tests.scorer.worker.faults import offset_of, start_worker, verdict_frame_ids, was_killed
from tests.scorer.worker.hooked_detector import load_hooked

pytestmark = pytest.mark.usefixtures("one_thread")

HOUR = timedelta(hours=1)
STATIONS_ON_ALL_PARTITIONS = 12


def test_a_worker_killed_at_any_failpoint_loses_and_duplicates_nothing(line: Line) -> None:
    """A topic for each step, all on one line, so that the dead workers' leases end together."""
    line.add_station("s2")  # has no normals yet
    lines = {
        step: Line(line.folder, replace(line.services, topic=f"{line.topic}-{step}")) for step in WORKER_FAILPOINTS
    }
    sent = {step: line_of_step.publish_parts("s1", 20) for step, line_of_step in lines.items()}
    for line_of_step in lines.values():
        line_of_step.publish_parts("s2", 2)
        line_of_step.publish_parts("s9", 2)
    dying = {step: start_worker(line_of_step, crash_at=f"{step}:2") for step, line_of_step in lines.items()}
    assert {step: was_killed(worker) for step, worker in dying.items()} == dict.fromkeys(WORKER_FAILPOINTS, True)
    verdict_ids = {}
    for step, line_of_step in lines.items():
        with closing(line_of_step):
            line_of_step.drain()
            verdict_ids[step] = verdict_frame_ids(line_of_step)
    assert verdict_ids == sent
    reasons = [(letter.topic, letter.reason) for letter in line.dead_letters()]
    assert sorted(reasons) == sorted([(line_of_step.topic, "unknown-station") for line_of_step in lines.values()] * 2)
    assert line.parked_count() == 2 * len(WORKER_FAILPOINTS)


@pytest.mark.parametrize("step", ["scored", "written"])
def test_a_second_worker_takes_over_from_one_killed_mid_batch(line: Line, step: str) -> None:
    stations = [f"s{number}" for number in range(1, STATIONS_ON_ALL_PARTITIONS + 1)]
    for name in stations[1:]:
        line.add_station(name)
        line.add_normal_set(name)
    sent: dict[str, list[UUID]] = {name: [] for name in stations}
    dying = start_worker(line, crash_at=step, drain=False)
    verdict_ids = 0
    with closing(Line(line.folder, line.services)) as other, running(other.worker("w2")) as progress:
        while dying.is_alive():  # until some of the partitions are the dying worker's
            for station, published in sent.items():
                published += line.publish_parts(station, 1)
            verdict_ids = progress.latest.verdicts
            progress.wait_for(more_than(verdict_ids, dying))
        assert was_killed(dying)
    line.drain()
    for station, expected in sent.items():
        assert verdict_frame_ids(line, station) == expected


def test_frames_that_cannot_be_scored_become_dead_letters_and_affect_no_other(line: Line) -> None:
    """Of 200 frames 2 are no images, and 1 breaks the model."""

    def fail_on_poison(framed: Sequence[Framed]) -> None:
        if any(each.height == 72 for each in framed):
            raise RuntimeError("out of luck")

    def image(number: int) -> bytes:
        if number % 100 == 50:
            return b"poison"
        return encoded(part(number % 20, size=(72, 72) if number == 77 else (64, 64)))

    line.settings = line.settings.model_copy(update={"batch_frames": 32})
    sent = line.publish("s1", [image(number) for number in range(200)])
    with capture_logs():  # rendering the traceback with its tensors takes longer than all else here
        line.drain(load=load_hooked(fail_on_poison))
    lost = {50, 77, 150}
    assert verdict_frame_ids(line) == [frame_id for number, frame_id in enumerate(sent) if number not in lost]
    assert sorted(letter.reason for letter in line.dead_letters()) == ["not-an-image", "not-an-image", "scoring-failed"]


def more_than(verdicts: int, dying: BaseProcess) -> Callable[[Progress], bool]:
    return lambda done: done.verdicts > verdicts or not dying.is_alive()


def test_a_clock_set_back_by_an_hour_changes_no_count_and_no_order(line: Line) -> None:
    readings: list[datetime] = []

    def clock() -> datetime:
        readings.append(START + timedelta(milliseconds=len(readings)) - (HOUR if len(readings) > 40 else timedelta()))
        return readings[-1]

    before, after = line.publish_parts("s1", 20), []
    with running(line.worker(clock=clock)) as progress:
        progress.wait_for(lambda done: done.verdicts == 20)
        line.published -= 3600  # cameras share the clock
        after = line.publish_parts("s1", 20)
        progress.wait_for(lambda done: done.verdicts == 40)
    verdict_ids = sorted(line.verdicts("s1"), key=offset_of)
    assert [verdict.frame_id for verdict in verdict_ids] == before + after
    assert min(readings) < START - HOUR / 2


def test_verdicts_of_two_normal_sets_never_mix_when_one_is_activated_under_load(line: Line) -> None:
    second = line.add_normal_set("s1", first=2000, activate=False)
    with running(line.worker()) as progress:
        sent = line.publish_parts("s1", 40)
        progress.wait_for(lambda done: done.verdicts >= 8)
        line.activate(second)
        sent += line.publish_parts("s1", 40)
        progress.wait_for(lambda done: done.verdicts == 80)
    verdict_ids = sorted(line.verdicts("s1"), key=offset_of)
    assert [verdict.frame_id for verdict in verdict_ids] == sent
    normal_set_ids = [verdict.normal_set_id or 0 for verdict in verdict_ids]
    assert normal_set_ids == sorted(normal_set_ids)
    assert normal_set_ids[-1] == second.id
    assert len({(verdict.normal_set_id, verdict.threshold) for verdict in verdict_ids}) == 2
    scores = {(verdict.normal_set_id, verdict.image_reference): verdict.score for verdict in verdict_ids}
    repeated_scores = {(v.normal_set_id, v.image_reference): v.score for v in reversed(verdict_ids)}
    assert {key: pytest.approx(score, abs=1e-5) for key, score in scores.items()} == repeated_scores
