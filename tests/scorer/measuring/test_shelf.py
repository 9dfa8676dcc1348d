import numpy as np
import pytest
import torch

from scorer.detectors.patches import PICTURES_AT_ONCE
from scorer.framing import Framing
from scorer.measuring.candidates import load_ground, load_method
from scorer.measuring.datasets import read_dataset, read_picture
from scorer.measuring.shelf import Shelf
from scorer.settings import ScorerSettings
from tests.scorer.measuring.folders import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ScorerSettings(device="cpu", engine="torch", torch_threads=1)


class Encoder:
    """The real network, with a count of the pictures that went through it."""

    def __init__(self) -> None:
        self.detector = load_method("nearest-patch", "", load_ground("filterbank", Framing(), SETTINGS), SETTINGS)
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
    shelf = Shelf(encoder, SETTINGS, ticks())
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
    shelf = Shelf(encoder, SETTINGS, ticks())
    pictures = [read_picture(path, SETTINGS) for path in dataset.pool[:2]]
    expected = encoder.detector.normal_patches(pictures)
    found = shelf.patches(dataset.pool[:2], encoder.detector.method.turns)
    torch.testing.assert_close(found.tokens, expected.tokens)
    assert torch.equal(found.looked_at, expected.looked_at)
    assert found.grid == expected.grid


def test_above_its_bound_it_encodes_again_and_gives_the_same(dataset):
    encoder = Encoder()
    one = Shelf(encoder, SETTINGS, ticks()).patches(dataset.pool[:1])
    small = Shelf(encoder, SETTINGS, ticks(), most_bytes=one.tokens.nbytes + one.looked_at.nbytes)
    before = encoder.pictures
    first, again = small.patches(dataset.pool[:3]), small.patches(dataset.pool[:3])
    assert encoder.pictures == before + 5
    assert torch.equal(first.tokens, again.tokens)


def test_a_folder_spares_the_next_run_the_network_and_keeps_its_times(dataset, tmp_path):
    encoder = Encoder()
    first = Shelf(encoder, SETTINGS, ticks(), tmp_path / "tokens")
    tokens = first.patches(dataset.good)
    second = Shelf(encoder, SETTINGS, ticks(), tmp_path / "tokens")
    assert torch.equal(second.patches(dataset.good).tokens, tokens.tokens)
    assert encoder.pictures == len(dataset.good)
    assert len(dataset.good) <= PICTURES_AT_ONCE
    assert second.encode_ms == first.encode_ms == 1000 / len(dataset.good)


def test_normals_are_sorted_by_what_is_on_them(dataset):
    shelf = Shelf(Encoder(), SETTINGS, ticks())
    draw = np.random.default_rng(0)
    expected = shelf.in_order(dataset.pool)
    for _ in range(3):
        assert shelf.in_order([dataset.pool[place] for place in draw.permutation(len(dataset.pool))]) == expected
