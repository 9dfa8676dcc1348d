"""The decision on a score, and on a histogram's bin of scores."""

import pytest

from storage.line.decision import Decision, decide, decide_bin, is_borderline


@pytest.mark.parametrize(("score", "decision"), [(0.39, "pass"), (0.4, "pass"), (0.41, "flag")])
def test_a_score_above_the_threshold_is_flagged(score: float, decision: Decision) -> None:
    assert decide(score, threshold=0.4) == decision


@pytest.mark.parametrize(
    ("score", "review_limit", "expected"),
    [
        (0.3, 0.3, False),
        (0.31, 0.3, True),
        (0.4, 0.3, True),
        (0.41, 0.3, False),
        (0.4, 0.4, False),
        (0.4, None, False),
    ],
)
def test_a_frame_that_passes_above_the_review_limit_is_borderline(
    score: float, review_limit: float | None, expected: bool
) -> None:
    assert is_borderline(decide(score, 0.4), score, review_limit) == expected


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [(0.3, 0.39, "pass"), (0.3, 0.4, "pass"), (0.3, 0.41, None), (0.4, 0.5, "flag"), (0.41, 0.5, "flag")],
)
def test_a_bin_is_decided_unless_the_threshold_lies_within_it(
    low: float, high: float, decision: Decision | None
) -> None:
    assert decide_bin(low, high, threshold=0.4) == decision
