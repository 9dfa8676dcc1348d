import math
from dataclasses import replace

import pytest

from storage.database.engine import Database
from storage.errors import InvalidChange
from storage.line import thresholds
from storage.line.thresholds import Threshold
from tests.storage.examples import NOON, add_active_set, add_station


def test_the_newest_threshold_is_in_force_and_history_is_kept(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        active = add_active_set(session, station)
        first = Threshold(station.id, active.id, "m1", 0.4, 0.01, "at most 1 in 8", NOON, "calibration")
        second = replace(first, value=0.5)
        other_model = replace(first, model_id="m2", value=0.9)
        for threshold in (first, second, other_model):
            thresholds.record(session, threshold)
    with database.read() as session:
        assert thresholds.current(session, station.id, active.id, "m1") == second
        assert thresholds.current(session, station.id, active.id, "m2") == other_model
        assert thresholds.current(session, station.id, active.id, "m3") is None
        assert thresholds.history(session, station.id) == [other_model, second, first]
        assert thresholds.in_force(session, [active.id]) == {(active.id, "m1"): second, (active.id, "m2"): other_model}
        assert thresholds.in_force(session, [active.id + 1]) == thresholds.in_force(session, []) == {}


@pytest.mark.parametrize("review_limit", [None, 0.3, 0.5])
def test_a_review_limit_is_kept_up_to_the_threshold(database: Database, review_limit: float | None) -> None:
    with database.begin() as session:
        station = add_station(session)
        active = add_active_set(session, station)
        recorded = Threshold(station.id, active.id, "m1", 0.5, 0.01, "", NOON, "w1", review_limit=review_limit)
        thresholds.record(session, recorded)
        assert thresholds.current(session, station.id, active.id, "m1") == recorded


@pytest.mark.parametrize("review_limit", [0.51, math.nan, math.inf, -math.inf])
def test_a_review_limit_above_the_threshold_or_not_finite_is_refused(database: Database, review_limit: float) -> None:
    with pytest.raises(InvalidChange), database.begin() as session:
        thresholds.record(session, Threshold(1, 1, "m1", 0.5, 0.01, "", NOON, "", review_limit=review_limit))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_threshold_that_is_not_finite_is_refused(database: Database, value: float) -> None:
    with pytest.raises(InvalidChange), database.begin() as session:
        thresholds.record(session, Threshold(1, 1, "m1", value, 0.01, "", NOON, ""))
