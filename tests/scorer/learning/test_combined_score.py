"""A combined score counts a standard deviation of the logit as two of the score's logarithm."""

import math

import numpy as np
import pytest

from scorer.learning.combined_score import HeadScale


def test_a_logit_one_deviation_above_the_median_counts_as_two_of_the_score() -> None:
    scores = np.array([1.0, math.e**2])  # logarithms 0 and 2: a deviation of 1
    logits = np.array([-4.0, 4.0])  # a median of 0, a deviation of 4
    scale = HeadScale.from_good_frames(scores, logits)
    assert scale.log_score_per_logit == pytest.approx(2 / 4)
    assert scale.combine(np.array([2.0, 2.0, 2.0]), np.array([0.0, 4.0, -4.0])) == pytest.approx(
        [2.0, 2 * math.e**2, 2 / math.e**2]
    )


def test_a_head_without_an_opinion_changes_nothing() -> None:
    scale = HeadScale.from_good_frames(np.array([0.1, 0.2, 0.3]), np.zeros(3))
    assert scale.combine(np.array([0.4]), np.zeros(1)) == pytest.approx([0.4])
