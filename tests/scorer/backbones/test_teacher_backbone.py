"""The teachers of `andon-tiny` as backbones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scorer.backbones.teacher_backbone import load_teacher
from scorer.backbones.teacher_networks import RESNET_FILE, load_teachers
from scorer.errors import InvalidWeights, ModelUnavailable
from scorer.imaging.framing import CellBox
from testing.datasets import shared_path

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 256, 256), dtype=np.uint8))


def test_a_teacher_has_one_layer_and_a_folder_of_both_has_two(pixels: torch.Tensor) -> None:
    folder = shared_path("weights")
    resnet, mobilenet = load_teachers(folder)
    with torch.inference_mode():
        expected = [network(pixels.float() / 255).flatten(2).transpose(1, 2) for network in (resnet, mobilenet)]
    alone = load_teacher(folder / RESNET_FILE, "", CPU)
    assert (alone.name, alone.grid) == ("resnet18 layer3", (16, 16))
    torch.testing.assert_close(alone.tokens(pixels), expected[0][None], atol=1e-5, rtol=1e-4)
    both = load_teacher(folder, "", CPU)
    found = both.tokens(pixels)
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1, :, :, :96], expected[1], atol=1e-5, rtol=1e-4)
    assert (found[1, :, :, 96:] == 0).all()
    assert both.weights_sha256 not in (None, alone.weights_sha256)


def test_a_teacher_crops_padding(pixels: torch.Tensor) -> None:
    folder = shared_path("weights")
    both = load_teacher(folder, "", CPU)
    torch.testing.assert_close(both.tokens_within(pixels, CellBox(0, 16, 0, 16)), both.tokens(pixels), atol=0, rtol=0)
    within = both.tokens_within(pixels[..., 32:224], CellBox(0, 16, 2, 14)).view(2, 2, 16, 16, -1)
    whole = both.tokens(pixels).view(2, 2, 16, 16, -1)
    assert (within[..., :2, :] == 0).all()
    assert (within[..., 14:, :] == 0).all()
    cosines = torch.nn.functional.cosine_similarity(within, whole, dim=-1)
    assert float(cosines[..., 7:9].min()) > 0.95


def test_layer2_can_be_a_second_layer(pixels: torch.Tensor) -> None:
    path = shared_path("weights") / RESNET_FILE
    two, one = load_teacher(path, "layer2+layer3", CPU), load_teacher(path, "layer3", CPU)
    tokens = two.tokens(pixels)
    assert tokens.shape == (2, 2, 256, 256)
    assert (tokens[0, :, :, 128:] == 0).all()
    torch.testing.assert_close(tokens[1:], one.tokens(pixels))
    assert two.name == "resnet18 layer2+layer3"


def test_a_file_that_is_not_a_teacher_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"nothing\.npz"):
        load_teacher(tmp_path / "nothing.npz", "", CPU)
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(InvalidWeights, match=r"other\.npz"):
        load_teacher(tmp_path / "other.npz", "", CPU)
    with pytest.raises(InvalidWeights, match="layer9"):
        load_teacher(shared_path("weights") / RESNET_FILE, "layer9", CPU)
