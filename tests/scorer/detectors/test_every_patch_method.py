"""What holds for every method that compares patches, whatever it computes; a new one in the registry is held to it."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from scorer.backbones.filterbank import Filterbank
from scorer.backbones.tiny import load_tiny
from scorer.detectors import registry
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.protocol import Detector
from scorer.detectors.registry import PATCH_METHODS
from scorer.errors import InvalidNormalSet
from scorer.imaging.framing import Framing
from scorer.imaging.rotation import rotate
from scorer.settings import ScorerSettings
from storage.line.stations import FramingKind
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = sorted(PATCH_METHODS)
NEED_ANDON_TINY = {"inctrl-visual"}
"""What they learned fits this backbone only."""


def detector(method: str, framing: FramingKind = "letterbox", *, leaves_bars_out: bool = False) -> PatchDetector:
    """On andon-tiny where it leaves a letterbox's bars out, else on a backbone that sees them."""
    settings = ScorerSettings(device="cpu")
    is_tiny = leaves_bars_out or method in NEED_ANDON_TINY
    backbone = load_tiny() if is_tiny else Filterbank(torch.device("cpu"))
    return PatchDetector(PATCH_METHODS[method](settings), backbone, Framing(framing))


def shapes() -> list[np.ndarray]:
    return [part(1), part(2, size=(64, 96)), part(3, defect=True, size=(300, 200)), part(4, size=(20, 200))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("framing", "leaves_bars_out"), [("letterbox", False), ("letterbox", True), ("tiles_2", False)]
)
def test_a_batch_scores_as_its_pictures_one_by_one(method: str, framing: FramingKind, leaves_bars_out: bool) -> None:
    model = detector(method, framing, leaves_bars_out=leaves_bars_out)
    references = model.references([part(number, size=(64, 80)) for number in range(3)], "part")
    together = model.score(shapes(), references)
    for place, picture in enumerate(shapes()):
        alone = model.score([picture], references)
        np.testing.assert_allclose(together.image_scores[place], alone.image_scores[0], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(together.anomaly_maps[place], alone.anomaly_maps[0], atol=1e-5, rtol=1e-5)
        for name, values in together.components.items():
            np.testing.assert_allclose(values[place], alone.components[name][0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [(0, 1, 0, 2, 1), (2, 2, 2)])
def test_pictures_of_several_stations_score_as_each_alone_against_its_own_normals(
    method: str, order: tuple[int, ...]
) -> None:
    model = detector(method, leaves_bars_out=True)
    stations = [
        model.references([part(10 * station + number, size=(64, 64 + 20 * station)) for number in range(count)], "part")
        for station, count in enumerate((2, 3, 3))
    ]
    pictures = [part(40 + place, size=(64, 64 + 20 * (place % 3))) for place in range(len(order))]
    framed = [model.prepare(picture) for picture in pictures]
    together = model.score_prepared(framed, [stations[station] for station in order])
    for place, (picture, station) in enumerate(zip(pictures, order, strict=True)):
        alone = model.score([picture], stations[station])
        np.testing.assert_allclose(together.image_scores[place], alone.image_scores[0], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(together.anomaly_maps[place], alone.anomaly_maps[0], atol=1e-5, rtol=1e-5)
        for name, values in alone.components.items():
            np.testing.assert_allclose(together.components[name][place], values[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_normals_says_nothing(method: str) -> None:
    model = detector(method)
    normals = [part(number, size=(64, 64 + 8 * number)) for number in range(5)]
    shuffled = random.Random(3).sample(range(5), 5)
    first = model.references(normals, "part")
    second = model.references([normals[place] for place in shuffled], "part")
    assert [first.normal_scores[place] for place in shuffled] == list(second.normal_scores)
    assert np.array_equal(model.score(shapes(), first).image_scores, model.score(shapes(), second).image_scores)


def in_precision(precision: str, method: str, engines: Path) -> Detector:
    settings = ScorerSettings(device="cpu", detector=method, precision=precision, engine="torch", engines_path=engines)
    return registry.load(settings, Framing("stretch"))


CHOSEN = {
    "anomalydino": {"mean", "direction", "cut", "shown", "owners"},
    "inctrl-visual": {"owners"},
    "nearest-patch": {"layer 0", "layer 1", "valid_mask", "layer_weights", "window"},
    "padim": {"channels", "means", "axes", "variances"},
    "patchcore": {"coreset", "owners", "channels"},
    "regad": {"channels", "registers"},
    "spade": {"valid_mask"},
    "subspacead": {"axes 0", "variance 0", "axes 1", "variance 1"},
}
"""What of its references must not hang on how the network rounds (docs/adr/0029)."""


@pytest.mark.parametrize("method", METHODS)
def test_in_bf16_what_is_chosen_among_the_normals_is_what_fp32_chooses(method: str, tmp_path: Path) -> None:
    exact, rounding = (in_precision(precision, method, tmp_path) for precision in ("fp32", "bf16"))
    normals = [part(number) for number in range(3)]
    first, second = exact.references(normals, "part"), rounding.references(normals, "part")
    assert first.tensors.keys() == second.tensors.keys() >= CHOSEN[method]
    for name in CHOSEN[method]:
        assert torch.equal(first.tensors[name].to(second.tensors[name].dtype), second.tensors[name]), name
    assert first.model_id != second.model_id
    assert second.normal_scores == pytest.approx(first.normal_scores, rel=0.2)


def test_in_bf16_normals_are_scored_as_every_picture_is_with_what_rounding_adds(tmp_path: Path) -> None:
    exact, rounding = (in_precision(precision, "nearest-patch", tmp_path) for precision in ("fp32", "bf16"))
    normals = [part(number) for number in range(3)]
    assert rounding.references(normals, "part").normal_scores != exact.references(normals, "part").normal_scores


@pytest.mark.parametrize("method", METHODS)
def test_two_normals_are_enough_and_a_set_of_another_size_is_refused(method: str) -> None:
    model = detector(method)
    references = model.references([part(1), part(2)], "part")
    assert len(references.normal_scores) == 2
    assert np.isfinite(references.normal_scores).all()
    assert references.model_id == model.model_id
    for count in (0, 1, 65):
        with pytest.raises(InvalidNormalSet, match=f"{method}.*this set has {count}"):
            model.references([part(number) for number in range(count)], "part")


@pytest.mark.parametrize("method", METHODS)
def test_a_defect_scores_above_every_good_part(method: str) -> None:
    model = detector(method)
    references = model.references([part(number) for number in range(4)], "part")
    good = model.score([part(number) for number in range(10, 18)], references)
    bad = model.score([part(number, defect=True) for number in range(20, 24)], references)
    assert bad.image_scores.min() > good.image_scores.max()


@pytest.mark.parametrize("method", METHODS)
def test_flat_black_and_equal_pictures_get_finite_scores(method: str) -> None:
    model = detector(method)
    flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 0, 128, 255)]
    references = model.references(flat, "part")
    scores = model.score([*flat, part(1)], references)
    assert np.isfinite(scores.image_scores).all()
    assert np.isfinite(scores.anomaly_maps).all()
    assert np.isfinite(references.normal_scores).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("leaves_bars_out", [False, True])
def test_bars_of_a_letterbox_take_no_part(method: str, leaves_bars_out: bool) -> None:
    model = detector(method, leaves_bars_out=leaves_bars_out)
    wide = [part(number, size=(40, 160)) for number in range(4)]
    references = model.references(wide[:3], "part")
    scores = model.score(wide[3:], references)
    valid_mask = Framing("letterbox").valid_mask(*wide[3].shape[:2], (256, 256), scores.anomaly_maps.shape[1:])
    assert (scores.anomaly_maps[0][~valid_mask] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_it_keeps_is_ready_to_be_a_file(method: str) -> None:
    references = detector(method).references([part(number) for number in range(3)], "part")
    assert references.tensors
    assert all(isinstance(tensor, torch.Tensor) for tensor in references.tensors.values())


def test_tiles_put_each_cell_where_it_belongs() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[256:, :256] = part(5, size=(256, 256))
    whole, tiled = detector("nearest-patch", "stretch"), detector("nearest-patch", "tiles_2")
    corner = whole.encode_images([picture[256:, :256]]).tokens[0, 0].view(16, 16, -1)
    patches = tiled.encode_images([picture])
    assert patches.grid == (32, 32)
    torch.testing.assert_close(patches.tokens[0, 0].view(32, 32, -1)[16:, :16], corner)


def test_a_picture_turned_a_quarter_four_times_is_itself_and_an_eighth_keeps_its_centre() -> None:
    picture = part(3, size=(65, 65))
    once = rotate(picture, 90)
    assert (once == np.rot90(picture)).all()
    assert (rotate(rotate(picture, 180), 180) == picture).all()
    eighth = rotate(picture, 45)
    assert eighth.shape == picture.shape
    assert abs(int(eighth[32, 32, 0]) - int(picture[32, 32, 0])) <= 4
