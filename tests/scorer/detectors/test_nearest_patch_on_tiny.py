"""Nearest patch on `andon-tiny`, the default: both of its layers have equal influence on a score."""

import random

import numpy as np
import pytest
from einops import rearrange

from scorer.backbones.tiny import SHA256
from scorer.detectors.protocol import Detector
from scorer.detectors.registry import load
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load(ScorerSettings(detector="nearest-patch", device="cpu", engine="torch"), Framing("stretch"))


def test_the_default_detector_uses_the_packaged_weights(detector: Detector) -> None:
    filterbank = load(ScorerSettings(backbone="filterbank", device="cpu", engine="torch"), Framing("stretch"))

    assert detector.weights_sha256 == SHA256
    assert filterbank.weights_sha256 is None
    assert detector.model_id != filterbank.model_id


def test_layer_weights_are_inverse_to_the_normals_residuals(detector: Detector) -> None:
    references = detector.references([part(1), part(2)], "part")

    levels = []
    for layer in (references.tensors[f"layer {number}"].double().numpy() for number in range(2)):
        first, second = rearrange(layer[references.tensors["valid_mask"].any(dim=(1, 2))], "r k c w -> k (r c) w")
        cosines = first @ second.T
        to_nearest = np.concatenate([1 - cosines.max(axis=1), 1 - cosines.max(axis=0)])
        levels.append(0.5 * to_nearest.mean())
    assert len(levels) == 2
    assert references.tensors["layer_weights"].numpy() == pytest.approx(np.mean(levels) / np.array(levels), rel=1e-3)


def test_a_defect_scores_above_every_good_part(detector: Detector) -> None:
    references = detector.references([part(number) for number in range(4)], "part")
    good = detector.score([part(number) for number in range(10, 14)], references)
    bad = detector.score([part(number, defect=True) for number in range(20, 23)], references)

    assert bad.image_scores.min() > good.image_scores.max()


def test_batch_scores_equal_single_scores(detector: Detector) -> None:
    references = detector.references([part(number) for number in range(3)], "part")
    images = [part(4), part(5, defect=True), part(6, size=(300, 200))]

    batch = detector.score(images, references)

    for position, image in enumerate(images):
        single = detector.score([image], references)
        np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=0)
        np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=0)


def test_the_order_of_the_normals_does_not_matter(detector: Detector) -> None:
    normals = [part(number) for number in range(4)]
    shuffled = random.Random(3).sample(range(4), 4)

    first = detector.references(normals, "part")
    second = detector.references([normals[position] for position in shuffled], "part")

    assert [first.normal_scores[position] for position in shuffled] == list(second.normal_scores)
    assert np.array_equal(detector.score([part(9)], first).image_scores, detector.score([part(9)], second).image_scores)


def test_a_defect_is_detected_with_copies_of_one_normal(detector: Detector) -> None:
    references = detector.references([part(1)] * 3, "part")
    scores = detector.score([part(1), part(1, defect=True)], references).image_scores

    assert np.isfinite(scores).all()
    assert scores[1] > scores[0] + 0.01
