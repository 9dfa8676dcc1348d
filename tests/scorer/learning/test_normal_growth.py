"""Which frames may join the normals."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scorer.learning.normal_growth import propose_normals


def test_the_highest_fifth_of_the_scores_does_not_join() -> None:
    descriptors = np.arange(10.0)[:, None] ** 2
    assert sorted(propose_normals(list(range(10)), descriptors, [False] * 10, 10)) == list(range(8))


def test_the_most_different_frames_come_first() -> None:
    """The mean of 0, 1, 2 and 10 is 3.25; 2 is nearest to it, 10 farthest from 2, and then 0 from both."""
    descriptors = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
    assert propose_normals([1, 1, 1, 1, 9], descriptors, [False] * 5, 3) == [2, 3, 0]


def test_a_frame_that_looks_like_a_defect_does_not_join() -> None:
    descriptors = np.array([[0.0], [0.1], [0.2], [5.0], [5.01]])
    proposed = propose_normals([1, 1, 1, 1, 1], descriptors, [False, False, False, False, True], 5)
    assert sorted(proposed) == [0, 1, 2]


@given(st.data())
def test_a_reviewed_defect_is_never_proposed(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    scores = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    is_defect = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    descriptors = np.random.default_rng(count).normal(size=(count, 3))
    proposed = propose_normals(scores, descriptors, is_defect, 64)
    assert not any(is_defect[index] for index in proposed)
    assert len(set(proposed)) == len(proposed)
