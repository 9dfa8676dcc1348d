"""Pictures brought to size beside the network: as a GPU does it, here on the processor."""

import numpy as np
import pytest
import torch

from scorer.backbones import device_resize
from scorer.backbones.device_resize import framing_identity, pixel_batch
from scorer.backbones.tiny import load_tiny
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_detector import PatchDetector
from scorer.imaging.framing import MAX_DEVICE_RESIZE_RATIO, Framing
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
    """The processor resizes as a GPU would."""
    monkeypatch.setattr(device_resize, "RESIZING_DEVICES", ("cpu",))


@pytest.mark.parametrize("kind", ["letterbox", "stretch", "tiles_2", "tiles_3"])
@pytest.mark.parametrize("crop_padding", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_is_brought_to_size_as_at_once(kind, crop_padding, shape):
    framing, picture = Framing(kind), noise(shape)
    at_once = framing.prepare(picture, SIZE, GRID, crop_padding=crop_padding)
    later = framing.prepare(picture, SIZE, GRID, crop_padding=crop_padding, later=True)
    assert later.tiles.shape == (1, *picture.shape)
    assert (later.box, later.height, later.width) == (at_once.box, at_once.height, at_once.width)
    assert (later.cells == at_once.cells).all()
    expected = torch.from_numpy(at_once.tiles).permute(0, 3, 1, 2)
    found = pixel_batch([later], CPU)
    assert found.dtype == torch.uint8
    assert found.shape == expected.shape
    difference = (found.int() - expected.int()).abs()
    assert int(difference.max()) <= 2
    assert float(difference.float().mean()) < 0.6


def test_pictures_of_many_shapes_come_in_their_order():
    framing = Framing("stretch")
    pictures = [noise(SHAPES[place % 3], seed=place) for place in range(7)]
    framed = [framing.prepare(one, SIZE, GRID, later=place != 4) for place, one in enumerate(pictures)]
    together = pixel_batch(framed, CPU)
    alone = torch.cat([pixel_batch([one], CPU) for one in framed])
    assert torch.equal(together, alone)
    tiled = [Framing("tiles_2").prepare(one, SIZE, GRID, later=True) for one in pictures]
    assert torch.equal(pixel_batch(tiled, CPU), torch.cat([pixel_batch([one], CPU) for one in tiled]))


def test_a_giant_and_a_centre_crop_are_brought_to_size_at_once():
    side = int((MAX_DEVICE_RESIZE_RATIO * 256 * 256) ** 0.5)
    small, giant = noise((side, side)), noise((side + 4, side + 4))
    assert Framing("stretch").prepare(small, SIZE, GRID, later=True).later is not None
    assert Framing("stretch").prepare(giant, SIZE, GRID, later=True).later is None
    assert Framing("centre_crop").prepare(small, SIZE, GRID, later=True).later is None


def test_a_detector_scores_as_with_pictures_that_were_brought_to_size_at_once(beside_the_network, monkeypatch):
    pictures = [part(number, defect=number == 3, size=size) for number, size in enumerate([(96, 128), (128, 96)] * 3)]
    normals = [part(20 + number, size=(96, 128)) for number in range(3)]
    model = PatchDetector(NearestPatch(), load_tiny(), Framing())
    assert model.prepare(pictures[0]).later is not None
    references = model.references(normals, "part")
    together = model.score(pictures, references)
    for place, picture in enumerate(pictures):
        alone = model.score([picture], references)
        torch.testing.assert_close(together.image[place], alone.image[0], atol=1e-5, rtol=1e-5)
    monkeypatch.undo()
    at_once = PatchDetector(NearestPatch(), load_tiny(), Framing())
    assert at_once.prepare(pictures[0]).later is None
    expected = at_once.score(pictures, at_once.references(normals, "part"))
    torch.testing.assert_close(together.image, expected.image, atol=0.01, rtol=0.05)
    assert model.model_id != at_once.model_id


def test_model_ids_tell_where_pictures_are_resized():
    assert framing_identity(Framing(), CPU) == "letterbox, resized by torch"
    assert framing_identity(Framing(), GPU) == "letterbox, resized by torch on cuda"
    assert framing_identity(Framing("centre_crop"), GPU) == "centre_crop"
