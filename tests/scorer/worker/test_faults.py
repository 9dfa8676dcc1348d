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
from tests.scorer.worker.faults import ids, offset_of, start_worker, was_killed
from tests.scorer.worker.hooked_detector import load_hooked

pytestmark = pytest.mark.usefixtures("one_thread")

HOUR = timedelta(hours=1)
STATIONS_ON_ALL_PARTITIONS = 12


def test_a_worker_killed_at_any_step_loses_and_doubles_nothing(line: Line) -> None:
    """A topic for each step, all on one line, so that the dead workers' leases end together."""
    line.station("s2")  # has no normals yet
    lines = {
        step: Line(line.folder, replace(line.services, topic=f"{line.topic}-{step}")) for step in WORKER_FAILPOINTS
    }
    sent = {step: of_step.frames("s1", 20) for step, of_step in lines.items()}
    for of_step in lines.values():
        of_step.frames("s2", 2)
        of_step.frames("s9", 2)
    dying = {step: start_worker(of_step, crash_at=f"{step}:2") for step, of_step in lines.items()}
    assert {step: was_killed(worker) for step, worker in dying.items()} == dict.fromkeys(WORKER_FAILPOINTS, True)
    made = {}
    for step, of_step in lines.items():
        with closing(of_step):
            of_step.drain()
            made[step] = ids(of_step)
    assert made == sent
    reasons = [(letter.topic, letter.reason) for letter in line.letters()]
    assert sorted(reasons) == sorted([(of_step.topic, "unknown-station") for of_step in lines.values()] * 2)
    assert line.parked() == 2 * len(WORKER_FAILPOINTS)


@pytest.mark.parametrize("step", ["scored", "written"])
def test_of_two_workers_one_is_killed_mid_batch_and_the_other_does_its_share(line: Line, step: str) -> None:
    stations = [f"s{number}" for number in range(1, STATIONS_ON_ALL_PARTITIONS + 1)]
    for name in stations[1:]:
        line.station(name)
        line.normals(name)
    sent: dict[str, list[UUID]] = {name: [] for name in stations}
    dying = start_worker(line, crash_at=step, drain=False)
    made = 0
    with closing(Line(line.folder, line.services)) as other, running(other.worker("w2")) as progress:
        while dying.is_alive():  # until some of the partitions are the dying worker's
            for station, published in sent.items():
                published += line.frames(station, 1)
            made = progress.latest.verdicts
            progress.wait_for(more_than(made, dying))
        assert was_killed(dying)
    line.drain()
    for station, wanted in sent.items():
        assert ids(line, station) == wanted


def test_a_frame_whose_scoring_raises_and_poison_in_between_cost_only_themselves(line: Line) -> None:
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
    assert ids(line) == [frame_id for number, frame_id in enumerate(sent) if number not in lost]
    assert sorted(letter.reason for letter in line.letters()) == ["not-an-image", "not-an-image", "scoring-failed"]


def more_than(verdicts: int, dying: BaseProcess) -> Callable[[Progress], bool]:
    return lambda done: done.verdicts > verdicts or not dying.is_alive()


def test_a_clock_that_jumps_back_an_hour_changes_no_count_and_no_order(line: Line) -> None:
    told: list[datetime] = []

    def clock() -> datetime:
        told.append(START + timedelta(milliseconds=len(told)) - (HOUR if len(told) > 40 else timedelta()))
        return told[-1]

    before, after = line.frames("s1", 20), []
    with running(line.worker(clock=clock)) as progress:
        progress.wait_for(lambda done: done.verdicts == 20)
        line.published -= 3600  # cameras share the clock
        after = line.frames("s1", 20)
        progress.wait_for(lambda done: done.verdicts == 40)
    made = sorted(line.verdicts("s1"), key=offset_of)
    assert [verdict.frame_id for verdict in made] == before + after
    assert min(told) < START - HOUR / 2


def test_a_normal_set_switched_under_load_never_mixes(line: Line) -> None:
    second = line.normals("s1", first=2000, activate=False)
    with running(line.worker()) as progress:
        sent = line.frames("s1", 40)
        progress.wait_for(lambda done: done.verdicts >= 8)
        line.activate(second)
        sent += line.frames("s1", 40)
        progress.wait_for(lambda done: done.verdicts == 80)
    made = sorted(line.verdicts("s1"), key=offset_of)
    assert [verdict.frame_id for verdict in made] == sent
    used = [verdict.normal_set_id or 0 for verdict in made]
    assert used == sorted(used)
    assert used[-1] == second.id
    assert len({(verdict.normal_set_id, verdict.threshold) for verdict in made}) == 2
    scores = {(verdict.normal_set_id, verdict.image_reference): verdict.score for verdict in made}
    again = {(v.normal_set_id, v.image_reference): v.score for v in reversed(made)}
    assert {key: pytest.approx(score, abs=1e-5) for key, score in scores.items()} == again
