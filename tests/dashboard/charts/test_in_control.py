"""The data of a control chart."""

import math
from datetime import datetime, timedelta

import numpy as np

from alerts.statistics.control_charts import InControlProcess, ewma
from dashboard.charts import in_control
from dashboard.charts.in_control import InControlPeriod
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.seeding import SeededStorage, verdict

PROCESS = InControlProcess(math.log(0.2), 0.1, 300)  # three sigmas are a factor of 1.35


def test_limits_come_from_the_first_good_frames_or_from_a_time_that_is_chosen(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    scores = [0.2 + n % 7 / 100 if n < 60 else 0.9 if n == 60 else 0.4 + n % 7 / 100 for n in range(120)]
    line.verdicts(
        *(verdict(line, s1, normal_set, n, now - timedelta(minutes=120 - n), score) for n, score in enumerate(scores))
    )
    with line.database.read() as session:
        first = in_control.control_data(session, s1.id, InControlPeriod(frames=50))
        chosen = in_control.control_data(
            session, s1.id, InControlPeriod(since=now - timedelta(minutes=121), until=now - timedelta(minutes=100))
        )
        none = in_control.control_data(session, s1.id, InControlPeriod(since=now + timedelta(hours=1)))
    assert isinstance(first, in_control.ControlData)
    assert isinstance(chosen, in_control.ControlData)
    assert [frame.score for frame in first.frames] == scores[:60] + [s for s in scores[61:] if s <= 0.41]
    assert first.process.count == 50
    assert chosen.process.count == 20
    assert isinstance(none, str)


def test_points_before_the_chart_still_count_for_its_average() -> None:
    values = np.full(50, PROCESS.centre + PROCESS.sigma)
    whole = ewma(values, PROCESS)
    assert list(in_control.last_points(whole, 5).points) == list(whole.points[-5:])
