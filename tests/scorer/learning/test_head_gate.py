"""A head is used where it lets nothing pass that the normals alone would flag."""

from collections.abc import Sequence

import numpy as np

from scorer.learning.head_gate import HeadComparison, compare_heads
from storage.review.labels import Label

LABELS: Sequence[Label | None] = ("defect", "defect", "false_alarm", None, None)
RATE = 0.01
SCORES = np.array([0.9, 0.4, 0.6, 0.7, 0.1])


def compared(with_head: Sequence[float]) -> HeadComparison:
    """Compare a threshold of 0.5 without the head with one of 5 with it."""
    return compare_heads(SCORES, 0.5, np.array(with_head), 5.0, LABELS)


def test_a_head_that_catches_another_confirmed_defect_is_used() -> None:
    found = compared([9, 8, 1, 7, 1])
    assert found == HeadComparison(frames=5, caught=2, caught_without=1, flagged_without=3, released=0)
    assert found.objection(RATE) is None


def test_a_head_that_lets_a_confirmed_defect_pass_for_another_is_used() -> None:
    assert compared([1, 8, 1, 7, 1]).objection(RATE) is None


def test_a_head_that_catches_fewer_confirmed_defects_is_not_used() -> None:
    found = compared([1, 1, 1, 7, 1])
    assert (found.caught, found.caught_without) == (0, 1)
    assert found.objection(RATE) is not None


def test_a_head_that_releases_frames_that_nobody_reviewed_is_not_used() -> None:
    flagged = np.full(30, 0.9)
    labels: list[Label | None] = ["defect", *[None] * 29]
    for released, objects in ((1, False), (3, False), (4, True)):  # of thirty flagged frames
        with_head = np.full(30, 9.0)
        with_head[-released:] = 1.0
        found = compare_heads(flagged, 0.5, with_head, 5.0, labels)
        assert found.released == released
        assert (found.objection(RATE) is not None) == objects


def test_a_frame_that_was_answered_as_good_may_pass() -> None:
    found = compared([9, 1, 1, 7, 1])
    assert (found.flagged_without, found.released) == (3, 0)
    assert found.objection(RATE) is None


def test_as_many_frames_may_pass_as_the_promise_lets_be_flagged_wrongly_twice_over() -> None:
    for frames, objects in ((200, False), (100, True)):  # 4 and 2 of them
        comparison = HeadComparison(frames=frames, caught=3, caught_without=1, flagged_without=4, released=3)
        assert (comparison.objection(RATE) is not None) == objects
