"""Resizing images on the device of the network: as on a GPU, here on the CPU."""

import numpy as np
import pytest
import torch

from scorer.backbones import device_resize
from scorer.backbones.device_resize import MAX_PIXEL_RATIO, framing_identity
from scorer.backbones.preprocessing import Preprocessor, pixel_batch
from scorer.backbones.tiny import load_tiny
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.imaging.framing import Framing
from storage.line.stations import FramingKind
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SIZE, GRID = (256, 256), (16, 16)
SHAPES = [(240, 320), (320, 240), (256, 256), (300, 280), (60, 400)]


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (shape[0] // 4, shape[1] // 4, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(4, axis=0).repeat(4, axis=1))


@pytest.fixture
def beside_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU resize images as a GPU would."""
    monkeypatch.setattr(device_resize, "RESIZING_DEVICES", ("cpu",))


@pytest.mark.parametrize("kind", ["letterbox", "stretch", "tiles_2", "tiles_3"])
@pytest.mark.parametrize("crop_padding", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_is_brought_to_size_as_at_once(kind: FramingKind, crop_padding: bool, shape: tuple[int, int]) -> None:
    image = noise(shape)
    at_once, later = (
        Preprocessor(Framing(kind), SIZE, GRID, device, crop_padding).prepare(image) for device in (CPU, GPU)
    )
    assert later.tiles.shape == (1, *image.shape)
    assert (later.box, later.height, later.width) == (at_once.box, at_once.height, at_once.width)
    assert (later.cells == at_once.cells).all()
    expected = torch.from_numpy(at_once.tiles).permute(0, 3, 1, 2)
    found = pixel_batch([later], CPU)
    assert found.dtype == torch.uint8
    assert found.shape == expected.shape
    difference = (found.int() - expected.int()).abs()
    assert int(difference.max()) <= 2
    assert float(difference.float().mean()) < 0.6


def test_pictures_of_many_shapes_come_in_their_order() -> None:
    at_once, later = (Preprocessor(Framing("stretch"), SIZE, GRID, device) for device in (CPU, GPU))
    images = [noise(SHAPES[number % 3], seed=number) for number in range(7)]
    framed = [(at_once if number == 4 else later).prepare(image) for number, image in enumerate(images)]
    together = pixel_batch(framed, CPU)
    alone = torch.cat([pixel_batch([one], CPU) for one in framed])
    assert torch.equal(together, alone)
    tiles = Preprocessor(Framing("tiles_2"), SIZE, GRID, GPU)
    tiled = [tiles.prepare(image) for image in images]
    assert torch.equal(pixel_batch(tiled, CPU), torch.cat([pixel_batch([one], CPU) for one in tiled]))


def test_a_giant_and_a_centre_crop_are_brought_to_size_at_once() -> None:
    side = int((MAX_PIXEL_RATIO * 256 * 256) ** 0.5)
    small, giant = noise((side, side)), noise((side + 4, side + 4))
    stretch, crop = (Preprocessor(Framing(kind), SIZE, GRID, GPU) for kind in ("stretch", "centre_crop"))
    assert stretch.prepare(small).later is not None
    assert stretch.prepare(giant).later is None
    assert crop.prepare(small).later is None


def test_a_detector_scores_as_with_pictures_that_were_brought_to_size_at_once(
    beside_the_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [part(number, defect=number == 3, size=size) for number, size in enumerate([(96, 128), (128, 96)] * 3)]
    normals = [part(20 + number, size=(96, 128)) for number in range(3)]
    model = PatchDetector(NearestPatch(), load_tiny(), Framing())
    assert model.prepare(pictures[0]).later is not None
    references = model.references(normals, "part")
    together = model.score(pictures, references)
    for place, picture in enumerate(pictures):
        alone = model.score([picture], references)
        np.testing.assert_allclose(together.image_scores[place], alone.image_scores[0], atol=1e-5, rtol=1e-5)
    monkeypatch.undo()
    at_once = PatchDetector(NearestPatch(), load_tiny(), Framing())
    assert at_once.prepare(pictures[0]).later is None
    expected = at_once.score(pictures, at_once.references(normals, "part"))
    np.testing.assert_allclose(together.image_scores, expected.image_scores, atol=0.01, rtol=0.05)
    assert model.model_id != at_once.model_id


def test_model_ids_tell_where_pictures_are_resized() -> None:
    assert framing_identity(Framing(), CPU) == "letterbox, resized by torch"
    assert framing_identity(Framing(), GPU) == "letterbox, resized by torch on cuda"
    assert framing_identity(Framing("centre_crop"), GPU) == "centre_crop"
