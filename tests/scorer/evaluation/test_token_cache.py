import numpy as np
import pytest
import torch

from scorer.detectors.patch_detector import ENCODE_BATCH_SIZE
from scorer.evaluation.datasets import read_dataset, read_image
from scorer.evaluation.specs import load_backbone_setup, load_patch_detector
from scorer.evaluation.token_cache import TokenCache
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.evaluation.dataset_folder import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ScorerSettings(device="cpu", engine="torch", torch_threads=1)


class Encoder:
    """The real network, with a count of the pictures that went through it."""

    def __init__(self) -> None:
        self.detector = load_patch_detector(
            "nearest-patch", "", load_backbone_setup("filterbank", Framing(), SETTINGS), SETTINGS
        )
        self.pictures = 0

    def __call__(self, pictures):
        self.pictures += len(pictures)
        return self.detector.patches(pictures)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(write_dataset(tmp_path_factory.mktemp("data") / "parts"))


def ticks():
    """A clock that a second passes on at every look."""
    seconds = iter(range(10_000))
    return lambda: float(next(seconds))


def test_a_picture_is_encoded_once_and_a_turned_copy_is_another(dataset):
    encoder = Encoder()
    shelf = TokenCache(encoder, SETTINGS, ticks())
    first = shelf.patches(dataset.pool[:2])
    again = shelf.patches(dataset.pool[1:3])
    assert encoder.pictures == 3
    assert torch.equal(first.tokens[:, 1], again.tokens[:, 0])
    turned = shelf.patches(dataset.pool[:2], turns=(0, 90))
    assert encoder.pictures == 5
    assert (turned.copies, turned.pictures) == (2, 2)
    assert torch.equal(turned.originals().tokens, first.tokens)


def test_tokens_are_the_detector_s_own(dataset):
    encoder = Encoder()
    shelf = TokenCache(encoder, SETTINGS, ticks())
    pictures = [read_image(path, SETTINGS) for path in dataset.pool[:2]]
    expected = encoder.detector.normal_patches(pictures)
    found = shelf.patches(dataset.pool[:2], encoder.detector.method.turns)
    torch.testing.assert_close(found.tokens, expected.tokens)
    assert torch.equal(found.valid_mask, expected.valid_mask)
    assert found.grid == expected.grid


def test_above_its_bound_it_encodes_again_and_gives_the_same(dataset):
    encoder = Encoder()
    one = TokenCache(encoder, SETTINGS, ticks()).patches(dataset.pool[:1])
    small = TokenCache(encoder, SETTINGS, ticks(), max_bytes=one.tokens.nbytes + one.valid_mask.nbytes)
    before = encoder.pictures
    first, again = small.patches(dataset.pool[:3]), small.patches(dataset.pool[:3])
    assert encoder.pictures == before + 5
    assert torch.equal(first.tokens, again.tokens)


def test_a_folder_spares_the_next_run_the_network_and_keeps_its_times(dataset, tmp_path):
    encoder = Encoder()
    first = TokenCache(encoder, SETTINGS, ticks(), tmp_path / "tokens")
    tokens = first.patches(dataset.good)
    second = TokenCache(encoder, SETTINGS, ticks(), tmp_path / "tokens")
    assert torch.equal(second.patches(dataset.good).tokens, tokens.tokens)
    assert encoder.pictures == len(dataset.good)
    assert len(dataset.good) <= ENCODE_BATCH_SIZE
    assert second.encode_ms == first.encode_ms == 1000 / len(dataset.good)


def test_normals_are_sorted_by_what_is_on_them(dataset):
    shelf = TokenCache(Encoder(), SETTINGS, ticks())
    draw = np.random.default_rng(0)
    expected = shelf.in_order(dataset.pool)
    for _ in range(3):
        assert shelf.in_order([dataset.pool[place] for place in draw.permutation(len(dataset.pool))]) == expected
