"""What a mask ignores has no influence: on no score, no map and no threshold, whatever the method."""

import numpy as np
import pytest

from imaging.rgb import RgbImage
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.registry import PATCH_METHODS
from scorer.imaging.framing import Framing
from storage.areas.masks import Mask
from testing.line import part
from tests.scorer.detectors.test_every_patch_method import REQUIRE_ANDON_TINY, load_backbone, load_method, make_detector

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (96, 128)
SERIAL = (slice(0, 30), slice(0, 64))
MASK = Mask(ignored=(((0.0, 0.0), (0.5, 0.0), (0.5, 30 / 96), (0.0, 30 / 96)),))


def with_serial(number: int, serial: int, *, defect: bool = False) -> RgbImage:
    """A part whose serial number, in the upper left, is that of another part."""
    image = part(number, defect=defect, size=SIZE).copy()
    image[SERIAL] = np.random.default_rng(serial).integers(0, 2, (30, 64, 1)) * 255
    return image


@pytest.mark.parametrize("method", sorted(PATCH_METHODS))
def test_what_is_ignored_changes_no_score_and_no_calibration(method: str) -> None:
    model = make_detector(method).with_mask(MASK)
    references = model.references([with_serial(number, 1) for number in range(4)], "part")
    others = model.references([with_serial(number, 50 + number) for number in range(4)], "part")
    assert references.normal_scores == pytest.approx(others.normal_scores, abs=1e-6)
    first = model.score([with_serial(7, 1)], references)
    second = model.score([with_serial(7, 99)], others)
    assert first.image_scores[0] == pytest.approx(second.image_scores[0], abs=1e-6)
    np.testing.assert_allclose(first.anomaly_maps, second.anomaly_maps, atol=1e-5)
    cells = model.prepare(with_serial(7, 1)).cells
    assert not cells.all()
    assert (first.anomaly_maps[0][~cells] == 0).all()


@pytest.mark.parametrize("method", sorted(PATCH_METHODS))
def test_stations_with_and_without_a_mask_are_scored_together_like_alone(method: str) -> None:
    model = make_detector(method)
    masked = model.with_mask(MASK)
    assert masked.model_id == model.model_id
    normals = [with_serial(number, 1) for number in range(3)]
    plain, without_serial = model.references(normals, "part"), masked.references(normals, "part")
    images = [with_serial(8, 2), with_serial(9, 3, defect=True)]
    together = model.score_prepared(
        [prepared.prepare(image) for image in images for prepared in (model, masked)], [plain, without_serial] * 2
    )
    alone = [
        float(detector.score([image], references).image_scores[0])
        for image in images
        for detector, references in ((model, plain), (masked, without_serial))
    ]
    assert together.image_scores.tolist() == pytest.approx(alone, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("framing", ["letterbox", "stretch", "centre_crop", "tiles_2"])
def test_a_changing_serial_number_is_far_until_it_is_masked(framing: str) -> None:
    name = "nearest-patch"
    backbone = load_backbone("andon-tiny" if name in REQUIRE_ANDON_TINY else "filterbank")
    model = PatchDetector(load_method(name), backbone, Framing(framing))  # type: ignore[arg-type]
    masked = model.with_mask(MASK)
    normals = [with_serial(number, 1) for number in range(4)]
    plain, without_serial = model.references(normals, "part"), masked.references(normals, "part")
    changed, defect = with_serial(9, 2), with_serial(9, 2, defect=True)
    assert model.score([changed], plain).image_scores[0] > 1.5 * max(plain.normal_scores)
    assert masked.score([changed], without_serial).image_scores[0] < 1.5 * max(without_serial.normal_scores)
    assert masked.score([defect], without_serial).image_scores[0] > 1.5 * max(without_serial.normal_scores)
