"""Thresholds that miss nothing, cost least or flag no good part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.statistics.operating_points import MIN_DEFECTS, OperatingPoint, OperatingPointName, operating_points

GOOD = [0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.3, 0.5]
DEFECTS = [0.25, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]


def point(name: OperatingPointName, good_parts_per_miss: float = 1.0) -> OperatingPoint:
    return next(one for one in operating_points(GOOD, DEFECTS, good_parts_per_miss) if one.name == name)


def test_to_miss_nothing_the_threshold_lies_just_below_the_lowest_defect() -> None:
    found = point("miss_nothing")
    assert found.threshold == pytest.approx(0.225)  # between 0.2 and 0.25
    assert (found.missed, found.flagged_good) == (0, 2)


def test_to_flag_no_good_part_it_lies_just_above_the_highest_good_one() -> None:
    found = point("flag_no_good_part")
    assert found.threshold == pytest.approx(0.55)  # between 0.5 and 0.6
    assert (found.missed, found.flagged_good) == (2, 0)


@pytest.mark.parametrize(("good_parts_per_miss", "missed", "flagged_good"), [(10, 0, 2), (0.1, 2, 0)])
def test_the_least_cost_follows_what_a_miss_costs(good_parts_per_miss: float, missed: int, flagged_good: int) -> None:
    found = point("least_cost", good_parts_per_miss)
    assert (found.missed, found.flagged_good) == (missed, flagged_good)


def test_kinds_that_do_not_overlap_are_separated_in_the_middle_of_the_gap() -> None:
    points = operating_points([0.1, 0.2], [0.6] * MIN_DEFECTS, 5)
    assert {round(one.threshold, 6) for one in points} == {0.4}
    assert {(one.missed, one.flagged_good) for one in points} == {(0, 0)}


def test_too_few_known_frames_give_no_point() -> None:
    assert operating_points(GOOD, DEFECTS[: MIN_DEFECTS - 1], 1) == ()
    assert operating_points([], DEFECTS, 1) == ()


scores = st.floats(0, 10, allow_nan=False)


@given(
    st.lists(scores, min_size=1, max_size=50),
    st.lists(scores, min_size=MIN_DEFECTS, max_size=30),
    st.floats(0.01, 1000),
)
def test_each_point_keeps_its_word_and_none_is_cheaper_than_the_cheapest(
    good: list[float], defects: list[float], good_parts_per_miss: float
) -> None:
    points = {one.name: one for one in operating_points(good, defects, good_parts_per_miss)}
    for one in points.values():
        assert one.missed == sum(score <= one.threshold for score in defects)
        assert one.flagged_good == sum(score > one.threshold for score in good)
    assert points["miss_nothing"].missed == 0
    assert points["flag_no_good_part"].flagged_good == 0
    costs = {name: good_parts_per_miss * one.missed + one.flagged_good for name, one in points.items()}
    assert costs["least_cost"] <= min(costs.values()) * (1 + 1e-9) + 1e-9
