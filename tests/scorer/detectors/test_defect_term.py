"""Scores with a defect term: a factor by an image's evidence, for the images of its station alone."""

import numpy as np
import pytest

from scorer.detectors import registry
from scorer.detectors.capabilities.defect_term import COMPONENT, MAX_LOG_FACTOR, DefectTerm, learns_defects
from scorer.detectors.patch_based.defect_scores import PLAIN_SCORE
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.protocol import References
from scorer.errors import InvalidReferences
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = [part(number, defect=number == 2) for number in range(4)]


@pytest.fixture(scope="module")
def detector() -> PatchDetector:
    settings = ScorerSettings(backbone="filterbank", engine="torch", device="cpu", torch_threads=1)
    loaded = registry.load(settings, Framing("letterbox"))
    assert isinstance(loaded, PatchDetector)
    return loaded


@pytest.fixture(scope="module")
def normals(detector: PatchDetector) -> References:
    return detector.references([part(number) for number in range(100, 104)], "part")


def a_term(detector: PatchDetector, normals: References) -> DefectTerm:
    width = detector.evidence(detector.encode_images(IMAGES[:1]), normals).evidence.shape[1]
    weights = np.random.default_rng(1).normal(0, 0.2, (width,)).astype(np.float32)
    return DefectTerm(weights, 0.25)


def test_a_score_is_multiplied_by_the_exponential_of_weights_times_evidence(
    detector: PatchDetector, normals: References
) -> None:
    term = a_term(detector, normals)
    found = detector.evidence(detector.encode_images(IMAGES), normals)
    expected = found.scores * np.exp(found.evidence @ term.weights + term.offset)
    scores = detector.score(IMAGES, detector.with_term(normals, term))
    assert scores.image_scores == pytest.approx(expected, rel=1e-4)
    assert scores.components[COMPONENT] == pytest.approx(np.log(expected / found.scores), rel=1e-3)
    plain = detector.score(IMAGES, normals)
    assert scores.components[PLAIN_SCORE] == pytest.approx(plain.image_scores)
    assert (scores.anomaly_maps == plain.anomaly_maps).all()


def test_a_batch_that_mixes_stations_with_a_term_and_without_equals_its_images_one_by_one(
    detector: PatchDetector, normals: References
) -> None:
    references = [normals, detector.with_term(normals, a_term(detector, normals))]
    order = [0, 1, 1, 0]
    framed = [detector.prepare(image) for image in IMAGES]
    together = detector.score_prepared(framed, [references[index] for index in order])
    alone = [detector.score_prepared([image], [references[index]]) for image, index in zip(framed, order, strict=True)]
    assert together.image_scores == pytest.approx([scores.image_scores[0] for scores in alone], rel=1e-5)
    assert np.isnan(together.components[COMPONENT]).tolist() == [True, False, False, True]
    assert [COMPONENT in scores.components for scores in alone] == [False, True, True, False]


def test_stations_without_a_term_are_scored_as_before(detector: PatchDetector, normals: References) -> None:
    assert set(detector.score(IMAGES, normals).components) == {"farthest patch"}


def test_a_term_survives_its_bytes_and_changes_the_model_id(detector: PatchDetector, normals: References) -> None:
    term = a_term(detector, normals)
    read = DefectTerm.from_bytes(term.to_bytes())
    assert (read.weights == term.weights).all()
    assert read.offset == term.offset
    assert read.scoring_model_id("m") == term.scoring_model_id("m")
    other = DefectTerm(term.weights, term.offset + 1)
    assert len({"m", term.scoring_model_id("m"), other.scoring_model_id("m"), term.scoring_model_id("n")}) == 4


@pytest.mark.parametrize("data", [b"", b"1234", b"12345678901", np.array([np.nan, 1], "<f4").tobytes()])
def test_bytes_that_are_no_term_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidReferences):
        DefectTerm.from_bytes(data)


@pytest.mark.parametrize("weight", [1e6, -1e6])
def test_no_factor_overflows(weight: float, detector: PatchDetector, normals: References) -> None:
    width = len(a_term(detector, normals).weights)
    references = detector.with_term(normals, DefectTerm(np.full(width, weight, np.float32), 0.0))
    scores = detector.score(IMAGES, references)
    assert np.isfinite(scores.image_scores).all()
    assert np.abs(scores.components[COMPONENT]).max() <= MAX_LOG_FACTOR


@pytest.mark.parametrize("name", ["patchcore", "spade"])
def test_a_method_without_evidence_does_not_learn_defects(name: str) -> None:
    settings = ScorerSettings(detector=name, backbone="filterbank", engine="torch", device="cpu", torch_threads=1)
    assert not learns_defects(registry.load(settings, Framing("letterbox")))
