"""The two limits of a station, learnt from its stream and from people's labels."""

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.learning.limits import (
    MAX_DAILY_RISE,
    MIN_ANSWERS,
    Limits,
    count_answers,
    learn_limits,
    review_limit,
    review_limit_of_normals,
)
from scorer.recipes.calibration import Calibration
from storage.learning.stream_scores import StreamScore
from storage.line.decision import decide
from storage.review.labels import Label

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
RATE = 0.01
OF_NORMALS = Calibration(0.5, "of the normals")
GOOD = np.linspace(0.1, 0.2, 190).tolist()
DEFECTS = np.linspace(0.3, 0.4, 10).tolist()


def frame(number: int, score: float, label: Label | None = None) -> StreamScore:
    return StreamScore(UUID(int=number), NOON, decide(score, OF_NORMALS.value), score, f"sha256:{number}", label)


def stream_of(scores: list[float], labels: dict[int, Label] | None = None) -> list[StreamScore]:
    return [frame(number, score, (labels or {}).get(number)) for number, score in enumerate(scores)]


def limits_of(stream: list[StreamScore], share: float = 0.05, lowest: float = OF_NORMALS.value) -> Limits:
    limits = learn_limits(stream, OF_NORMALS, RATE, share, lowest)
    assert limits is not None
    return limits


def test_a_short_stream_teaches_nothing() -> None:
    assert learn_limits(stream_of(GOOD[:99]), OF_NORMALS, RATE, 0.05, 0.5) is None


def test_one_image_sent_again_and_again_is_no_stream() -> None:
    assert learn_limits(stream_of([0.1, 0.2] * 100), OF_NORMALS, RATE, 0.05, 0.5) is None


def test_a_stream_that_nobody_reviewed_makes_the_threshold_stricter_and_is_called_an_estimate() -> None:
    limits = limits_of(stream_of([*GOOD, *DEFECTS]))
    assert limits.kind == "estimated"
    assert max(GOOD) <= limits.threshold < OF_NORMALS.value


def test_confirmed_defects_are_dropped_and_at_most_one_and_a_half_percent_of_the_rest_is_flagged() -> None:
    labels: dict[int, Label] = {190 + number: "defect" for number in range(10)}
    limits = limits_of(stream_of([*GOOD, *DEFECTS], labels))
    assert limits.kind == "reviewed"
    assert all(decide(score, limits.threshold) == "flag" for score in DEFECTS)
    assert sum(decide(score, limits.threshold) == "flag" for score in GOOD) <= 3  # of 190


def test_the_threshold_stays_an_estimate_until_five_of_the_highest_were_answered() -> None:
    four: dict[int, Label] = {190 + number: "defect" for number in range(MIN_ANSWERS - 1)}
    assert limits_of(stream_of([*GOOD, *DEFECTS], four)).kind == "estimated"
    assert limits_of(stream_of([*GOOD, *DEFECTS], four | {199: "false_alarm"})).kind == "reviewed"


def test_answers_on_low_frames_and_unsure_ones_tell_nothing_of_the_highest() -> None:
    labels: dict[int, Label] = dict.fromkeys(range(20), "false_alarm")
    assert count_answers(stream_of(GOOD, labels | {189: "unsure"})) == 0


def test_a_lamp_that_fades_raises_all_scores_and_not_the_threshold() -> None:
    faded = (3 * np.asarray(GOOD)).tolist()  # up to 0.6
    assert limits_of(stream_of(faded)).threshold == OF_NORMALS.value


def test_labels_do_not_raise_the_threshold_while_a_flagged_frame_is_unreviewed() -> None:
    higher = [*GOOD, *np.linspace(0.6, 0.7, 10).tolist()]
    six: dict[int, Label] = {190 + number: "false_alarm" for number in range(6)}
    assert limits_of(stream_of(higher, six)).threshold == OF_NORMALS.value


def test_labels_raise_the_threshold_by_no_more_than_a_tenth_a_day() -> None:
    higher = [*GOOD, *np.linspace(0.6, 0.7, 10).tolist()]
    all_good: dict[int, Label] = {190 + number: "false_alarm" for number in range(10)}
    assert limits_of(stream_of(higher, all_good)).threshold == pytest.approx((1 + MAX_DAILY_RISE) * OF_NORMALS.value)
    assert limits_of(stream_of(higher, all_good), lowest=0.3).threshold == OF_NORMALS.value


def test_the_review_limit_leaves_as_many_frames_above_as_people_have_time_for() -> None:
    scores = np.linspace(0.01, 1, 100).tolist()
    assert sum(score > review_limit(scores, 2.0, 0.03) for score in scores) == 3
    assert sum(score > review_limit(scores, 2.0, 0.9) for score in scores) == 5
    assert review_limit(scores, 0.4, 0.03) == 0.4
    assert review_limit(scores, 2.0, 0) == 2.0


def test_without_a_stream_the_review_limit_is_near_the_point_that_five_percent_exceed() -> None:
    """Of 19 normals, rank ⌈0.95 · 20⌉ = 19: the highest."""
    scores = np.linspace(0.1, 0.19, 19).tolist()
    assert review_limit_of_normals(scores, 0.5, 40) == pytest.approx(0.19)
    assert review_limit_of_normals(scores, 0.15, 40) == 0.15
    assert review_limit_of_normals(scores, 0.5, 0) == 0.5


@given(
    st.lists(st.floats(0.001, 10, allow_nan=False), min_size=100, max_size=200, unique=True),
    st.dictionaries(st.integers(0, 99), st.sampled_from(["defect", "false_alarm", "unsure"]), max_size=60),
    st.floats(0, 1),
)
def test_no_stream_loosens_the_limits_beyond_the_normals_unseen_and_its_order_does_not_matter(
    scores: list[float], labels: dict[int, Label], share: float
) -> None:
    stream = stream_of(scores, labels)
    limits = learn_limits(stream, OF_NORMALS, RATE, share, OF_NORMALS.value)
    assert learn_limits(sorted(stream, key=lambda one: -one.score), OF_NORMALS, RATE, share, 0.5) == limits
    if limits is None:
        return
    assert limits.review_limit <= limits.threshold
    if limits.threshold > OF_NORMALS.value:
        assert limits.kind == "reviewed"
        assert all(one.label is not None for one in stream if one.score > OF_NORMALS.value)
