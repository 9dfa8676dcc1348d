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
def resize_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU resize images as a GPU would."""
    monkeypatch.setattr(device_resize, "RESIZING_DEVICES", ("cpu",))


@pytest.mark.parametrize("kind", ["letterbox", "stretch", "tiles_2", "tiles_3"])
@pytest.mark.parametrize("crop_padding", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_resizing_on_the_device_equals_resizing_at_once(
    kind: FramingKind, crop_padding: bool, shape: tuple[int, int]
) -> None:
    image = noise(shape)
    immediate, deferred = (
        Preprocessor(Framing(kind), SIZE, GRID, device, crop_padding).prepare(image) for device in (CPU, GPU)
    )
    assert deferred.tiles.shape == (1, *image.shape)
    assert (deferred.box, deferred.height, deferred.width) == (immediate.box, immediate.height, immediate.width)
    assert (deferred.cells == immediate.cells).all()
    expected = torch.from_numpy(immediate.tiles).permute(0, 3, 1, 2)
    found = pixel_batch([deferred], CPU)
    assert found.dtype == torch.uint8
    assert found.shape == expected.shape
    difference = (found.int() - expected.int()).abs()
    assert int(difference.max()) <= 2
    assert float(difference.float().mean()) < 0.6


def test_images_of_several_shapes_keep_their_order() -> None:
    immediate, deferred = (Preprocessor(Framing("stretch"), SIZE, GRID, device) for device in (CPU, GPU))
    images = [noise(SHAPES[number % 3], seed=number) for number in range(7)]
    framed = [(immediate if number == 4 else deferred).prepare(image) for number, image in enumerate(images)]
    together = pixel_batch(framed, CPU)
    alone = torch.cat([pixel_batch([one], CPU) for one in framed])
    assert torch.equal(together, alone)
    tiles = Preprocessor(Framing("tiles_2"), SIZE, GRID, GPU)
    tiled = [tiles.prepare(image) for image in images]
    assert torch.equal(pixel_batch(tiled, CPU), torch.cat([pixel_batch([one], CPU) for one in tiled]))


def test_a_huge_image_and_a_centre_crop_are_resized_at_once() -> None:
    side = int((MAX_PIXEL_RATIO * 256 * 256) ** 0.5)
    small, giant = noise((side, side)), noise((side + 4, side + 4))
    stretch, crop = (Preprocessor(Framing(kind), SIZE, GRID, GPU) for kind in ("stretch", "centre_crop"))
    assert stretch.prepare(small).later is not None
    assert stretch.prepare(giant).later is None
    assert crop.prepare(small).later is None


def test_device_resize_gives_the_same_scores(resize_on_cpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [part(number, defect=number == 3, size=size) for number, size in enumerate([(96, 128), (128, 96)] * 3)]
    normals = [part(20 + number, size=(96, 128)) for number in range(3)]
    model = PatchDetector(NearestPatch(), load_tiny(), Framing())
    assert model.prepare(images[0]).later is not None
    references = model.references(normals, "part")
    together = model.score(images, references)
    for index, image in enumerate(images):
        alone = model.score([image], references)
        np.testing.assert_allclose(together.image_scores[index], alone.image_scores[0], atol=1e-5, rtol=1e-5)
    monkeypatch.undo()
    immediate = PatchDetector(NearestPatch(), load_tiny(), Framing())
    assert immediate.prepare(images[0]).later is None
    expected = immediate.score(images, immediate.references(normals, "part"))
    np.testing.assert_allclose(together.image_scores, expected.image_scores, atol=0.01, rtol=0.05)
    assert model.model_id != immediate.model_id


def test_the_model_id_depends_on_the_resizing_device() -> None:
    assert framing_identity(Framing(), CPU) == "letterbox, resized by torch"
    assert framing_identity(Framing(), GPU) == "letterbox, resized by torch on cuda"
    assert framing_identity(Framing("centre_crop"), GPU) == "centre_crop"
