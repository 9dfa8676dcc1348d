"""Requirements on every method in the registry that compares patches, whatever it computes."""

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.rotation import rotate
from scorer.backbones.filterbank import Filterbank
from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.tiny import load_tiny
from scorer.detectors import registry
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.patch_based.method import PatchMethod
from scorer.detectors.protocol import Detector
from scorer.detectors.registry import PATCH_METHODS
from scorer.errors import InvalidNormalSet
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from storage.line.stations import FramingKind
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = sorted(PATCH_METHODS)
REQUIRE_ANDON_TINY = {"inctrl-visual"}
"""Methods whose weights fit only this backbone."""


def make_detector(method: str, framing: FramingKind = "letterbox", *, crops_padding: bool = False) -> PatchDetector:
    """Return a detector on andon-tiny where padding is cropped, otherwise on a backbone that encodes padding."""
    is_tiny = crops_padding or method in REQUIRE_ANDON_TINY
    return PatchDetector(
        load_method(method), load_backbone("andon-tiny" if is_tiny else "filterbank"), Framing(framing)
    )


@cache
def load_method(name: str) -> PatchMethod:
    return PATCH_METHODS[name](ScorerSettings(device="cpu"))


@cache
def load_backbone(name: str) -> PatchBackbone:
    return load_tiny() if name == "andon-tiny" else Filterbank(torch.device("cpu"))


def images_of_several_shapes() -> list[np.ndarray]:
    return [part(1), part(2, size=(64, 96)), part(3, defect=True, size=(300, 200)), part(4, size=(20, 200))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("framing", "crops_padding"), [("letterbox", False), ("letterbox", True), ("tiles_2", False)])
def test_batch_scores_equal_single_scores(method: str, framing: FramingKind, crops_padding: bool) -> None:
    model = make_detector(method, framing, crops_padding=crops_padding)
    references = model.references([part(number, size=(64, 80)) for number in range(3)], "part")
    batch = model.score(images_of_several_shapes(), references)
    for position, image in enumerate(images_of_several_shapes()):
        single = model.score([image], references)
        np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=1e-5)
        for name, values in batch.components.items():
            np.testing.assert_allclose(values[position], single.components[name][0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [(0, 1, 0, 2, 1), (2, 2, 2)])
def test_a_batch_of_several_stations_scores_like_each_station_alone(method: str, order: tuple[int, ...]) -> None:
    model = make_detector(method, crops_padding=True)
    stations = [
        model.references([part(10 * station + number, size=(64, 64 + 20 * station)) for number in range(count)], "part")
        for station, count in enumerate((2, 3, 3))
    ]
    images = [part(40 + position, size=(64, 64 + 20 * (position % 3))) for position in range(len(order))]
    framed = [model.prepare(image) for image in images]
    batch = model.score_prepared(framed, [stations[station] for station in order])
    for position, (image, station) in enumerate(zip(images, order, strict=True)):
        single = model.score([image], stations[station])
        np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=1e-5)
        for name, values in single.components.items():
            np.testing.assert_allclose(batch.components[name][position], values[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_normals_does_not_matter(method: str) -> None:
    model = make_detector(method)
    normals = [part(number, size=(64, 64 + 8 * number)) for number in range(5)]
    shuffled = random.Random(3).sample(range(5), 5)
    first = model.references(normals, "part")
    second = model.references([normals[position] for position in shuffled], "part")
    assert [first.normal_scores[position] for position in shuffled] == list(second.normal_scores)
    assert np.array_equal(
        model.score(images_of_several_shapes(), first).image_scores,
        model.score(images_of_several_shapes(), second).image_scores,
    )


def load_in_precision(precision: str, method: str, engines: Path) -> Detector:
    settings = ScorerSettings(device="cpu", detector=method, precision=precision, engine="torch", engines_path=engines)
    return registry.load(settings, Framing("stretch"))


EXACT_TENSORS = {
    "anomalydino": {"mean", "direction", "cut", "shown", "owners"},
    "inctrl-visual": {"owners"},
    "nearest-patch": {"layer 0", "layer 1", "valid_mask", "layer_weights", "window"},
    "padim": {"channels", "means", "axes", "variances"},
    "patchcore": {"coreset", "owners", "channels"},
    "regad": {"channels", "registers"},
    "spade": {"valid_mask"},
    "subspacead": {"axes 0", "variance 0", "axes 1", "variance 1"},
}
"""Tensors of the references that must not depend on the rounding of the network (docs/adr/0029)."""


@pytest.mark.parametrize("method", METHODS)
def test_references_in_bf16_select_what_fp32_selects(method: str, tmp_path: Path) -> None:
    exact, rounded = (load_in_precision(precision, method, tmp_path) for precision in ("fp32", "bf16"))
    normals = [part(number) for number in range(3)]
    first, second = exact.references(normals, "part"), rounded.references(normals, "part")
    assert first.tensors.keys() == second.tensors.keys() >= EXACT_TENSORS[method]
    for name in EXACT_TENSORS[method]:
        assert torch.equal(first.tensors[name].to(second.tensors[name].dtype), second.tensors[name]), name
    assert first.model_id != second.model_id
    assert second.normal_scores == pytest.approx(first.normal_scores, rel=0.2)


def test_normal_scores_in_bf16_include_the_rounding_error(tmp_path: Path) -> None:
    exact, rounded = (load_in_precision(precision, "nearest-patch", tmp_path) for precision in ("fp32", "bf16"))
    normals = [part(number) for number in range(3)]
    assert rounded.references(normals, "part").normal_scores != exact.references(normals, "part").normal_scores


@pytest.mark.parametrize("method", METHODS)
def test_a_normal_set_has_2_to_64_images(method: str) -> None:
    model = make_detector(method)
    references = model.references([part(1), part(2)], "part")
    assert len(references.normal_scores) == 2
    assert np.isfinite(references.normal_scores).all()
    assert references.model_id == model.model_id
    for count in (0, 1, 65):
        with pytest.raises(InvalidNormalSet, match=rf"{method}.*\b{count}\b"):
            model.references([part(number) for number in range(count)], "part")


@pytest.mark.parametrize("method", METHODS)
def test_a_defect_scores_above_every_good_part(method: str) -> None:
    model = make_detector(method)
    references = model.references([part(number) for number in range(4)], "part")
    good = model.score([part(number) for number in range(10, 18)], references)
    bad = model.score([part(number, defect=True) for number in range(20, 24)], references)
    assert bad.image_scores.min() > good.image_scores.max()


@pytest.mark.parametrize("method", METHODS)
def test_uniform_and_equal_images_have_finite_scores(method: str) -> None:
    model = make_detector(method)
    flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 0, 128, 255)]
    references = model.references(flat, "part")
    scores = model.score([*flat, part(1)], references)
    assert np.isfinite(scores.image_scores).all()
    assert np.isfinite(scores.anomaly_maps).all()
    assert np.isfinite(references.normal_scores).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("crops_padding", [False, True])
def test_letterbox_padding_is_ignored(method: str, crops_padding: bool) -> None:
    model = make_detector(method, crops_padding=crops_padding)
    wide = [part(number, size=(40, 160)) for number in range(4)]
    references = model.references(wide[:3], "part")
    scores = model.score(wide[3:], references)
    valid_mask = Framing("letterbox").valid_mask(*wide[3].shape[:2], (256, 256), scores.anomaly_maps.shape[1:])
    assert (scores.anomaly_maps[0][~valid_mask] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_references_are_tensors(method: str) -> None:
    references = make_detector(method).references([part(number) for number in range(3)], "part")
    assert references.tensors
    assert all(isinstance(tensor, torch.Tensor) for tensor in references.tensors.values())


def test_tiles_are_joined_in_place() -> None:
    image = np.zeros((512, 512, 3), np.uint8)
    image[256:, :256] = part(5, size=(256, 256))
    whole, tiled = make_detector("nearest-patch", "stretch"), make_detector("nearest-patch", "tiles_2")
    corner = whole.encode_images([image[256:, :256]]).tokens[0, 0].view(16, 16, -1)
    patches = tiled.encode_images([image])
    assert patches.grid == (32, 32)
    torch.testing.assert_close(patches.tokens[0, 0].view(32, 32, -1)[16:, :16], corner)


def test_rotation_by_90_degrees_is_exact_and_by_45_keeps_the_centre() -> None:
    image = part(3, size=(65, 65))
    rotated_90 = rotate(image, 90)
    assert (rotated_90 == np.rot90(image)).all()
    assert (rotate(rotate(image, 180), 180) == image).all()
    rotated_45 = rotate(image, 45)
    assert rotated_45.shape == image.shape
    assert abs(int(rotated_45[32, 32, 0]) - int(image[32, 32, 0])) <= 4
