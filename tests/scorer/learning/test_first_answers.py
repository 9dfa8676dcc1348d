"""The threshold that the answers on a station's first frames lead to, on made-up scores and on real solar cells."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from imaging.decode import decode
from imaging.limits import ImageLimits
from scorer.backbones.tiny import load_tiny
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.imaging.framing import Framing
from scorer.learning.first_answers import MIN_GOOD_FRAMES, first_threshold
from scorer.learning.limits import MIN_ANSWERS, QUESTIONS, Limits, has_questions, learn_limits
from scorer.recipes.calibration import Calibration, calibrate
from storage.learning.stream_scores import StreamScore
from storage.review.review_queue import ASKED_FROM
from testing.datasets import shared_path

RATE = 0.01
OF_NORMALS = Calibration(0.5, "of the normals")
GOOD = np.linspace(0.1, 0.2, 26).tolist()
DEFECTS = [0.3, 0.32, 0.35, 0.4]


def answered(scores: list[float], defects: set[int], answers: int = QUESTIONS) -> list[StreamScore]:
    """Return a stream whose highest frames people answered; `defects` are positions in `scores`."""
    highest = sorted(range(len(scores)), key=lambda number: -scores[number])[:answers]
    at = datetime(2026, 3, 14, tzinfo=UTC)
    return [
        StreamScore(
            UUID(int=number),
            at,
            "pass",
            score,
            f"sha256:{number}",
            ("defect" if number in defects else "false_alarm") if number in highest else None,
        )
        for number, score in enumerate(scores)
    ]


def limits_of(stream: list[StreamScore], calibrated: Calibration = OF_NORMALS) -> Limits | None:
    return learn_limits(stream, calibrated, RATE, 0.05, calibrated.value)


def test_the_threshold_lies_between_the_highest_good_frame_and_the_lowest_defect() -> None:
    limits = limits_of(answered([*GOOD, *DEFECTS], set(range(26, 30))))
    assert limits is not None
    assert limits.kind == "reviewed"
    assert max(GOOD) < limits.threshold < min(DEFECTS)
    assert limits.review_limit <= limits.threshold
    assert "3.7 %" in limits.guarantee  # 1 of 27, and not the promised 1 %


def test_too_few_frames_or_answers_leave_the_limits_of_the_normals() -> None:
    scores, defects = [*GOOD, *DEFECTS], set(range(26, 30))
    assert limits_of(answered(scores[1:], {number - 1 for number in defects})) is None
    assert limits_of(answered(scores, defects, MIN_ANSWERS - 1)) is None
    assert first_threshold(GOOD[: MIN_GOOD_FRAMES - 1], DEFECTS, QUESTIONS, RATE) is None


def test_a_defect_that_nobody_found_holds_the_threshold_up_and_one_among_the_good_moves_nothing() -> None:
    unconfirmed, found = [*GOOD, 0.3], DEFECTS[1:]
    threshold = first_threshold(unconfirmed, found, QUESTIONS, RATE)
    assert threshold is not None
    assert 0.3 <= threshold.value < 0.32
    low = first_threshold(GOOD, [0.15], QUESTIONS, RATE)
    assert low is not None
    assert low.value == calibrate(GOOD, RATE).value


def test_first_answers_never_loosen_what_the_normals_allow() -> None:
    assert limits_of(answered([*GOOD, *DEFECTS], set(range(26, 30))), Calibration(0.15, "strict")) is None


def test_thirty_frames_with_different_scores_are_asked_about_and_one_image_again_and_again_is_not() -> None:
    assert has_questions(answered([*GOOD, *DEFECTS], set()))
    assert not has_questions(answered(GOOD, set()))
    assert not has_questions(answered([0.1, 0.2] * ASKED_FROM, set()))


@pytest.mark.data
@pytest.mark.usefixtures("one_thread")
def test_eight_solar_cells_and_ten_answers_catch_eighteen_of_twenty_defects() -> None:
    """The first 24 good and 6 defective cells stream by; the ten highest are answered truthfully."""
    folder = shared_path("data") / "elpv"
    detector = PatchDetector(NearestPatch(), load_tiny(), Framing("stretch"))
    references = detector.fit(detector.encode_images(images(folder / "train" / "good", 8)))

    def scores(name: str, count: int) -> list[float]:
        features = detector.encode_images(images(folder / "test" / name, count))
        found = detector.score_features(features, [references] * features.image_count).image_scores
        return [float(score) for score in found]

    good, bad = scores("good", 24), scores("mono", 20)
    calibrated = calibrate(references.normal_scores, RATE)
    assert sum(score > calibrated.value for score in bad) <= 3  # as the station starts
    limits = limits_of(answered([*good, *bad[:6]], set(range(24, 30))), calibrated)
    assert limits is not None
    assert sum(score > limits.threshold for score in bad) >= 18
    assert sum(score > limits.threshold for score in good) <= 1


def images(folder: Path, count: int) -> list[np.ndarray]:
    return [decode(path.read_bytes(), ImageLimits()).pixels for path in sorted(folder.iterdir())[:count]]
