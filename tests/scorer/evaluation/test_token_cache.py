"""Tokens come from the cache, from its folder or from the network, and are the same each way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.rgb import RgbImage
from scorer.detectors.patch_based.detector import ENCODE_BATCH_SIZE
from scorer.detectors.patch_based.patches import Patches
from scorer.evaluation.datasets import Dataset, read_dataset, read_image
from scorer.evaluation.specs import load_backbone_setup, load_patch_detector
from scorer.evaluation.timing import Timer
from scorer.evaluation.token_cache import TokenCache
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.evaluation.dataset_folder import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ScorerSettings(device="cpu", engine="torch", torch_threads=1)


class CountingEncoder:
    """The real network, which counts the images that it encodes."""

    def __init__(self) -> None:
        setup = load_backbone_setup("filterbank", Framing(), SETTINGS)
        self.detector = load_patch_detector("nearest-patch", "", setup, SETTINGS)
        self.images = 0

    def __call__(self, images: Sequence[RgbImage]) -> Patches:
        self.images += len(images)
        return self.detector.encode_images(images)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("data") / "parts"))


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


def one_second_per_call() -> Timer:
    seconds = iter(range(10_000))
    return lambda: float(next(seconds))


def test_an_image_is_encoded_once_and_each_rotated_copy_once(dataset: Dataset, encoder: CountingEncoder) -> None:
    cache = TokenCache(encoder, SETTINGS, one_second_per_call())
    first = cache.patches(dataset.pool[:2])
    overlapping = cache.patches(dataset.pool[1:3])
    assert encoder.images == 3
    assert torch.equal(first.tokens[:, 1], overlapping.tokens[:, 0])
    with_copies = cache.patches(dataset.pool[:2], rotations=(0, 90))
    assert encoder.images == 5
    assert (with_copies.copies, with_copies.image_count) == (2, 2)
    assert torch.equal(with_copies.unrotated().tokens, first.tokens)


def test_tokens_are_those_of_the_detector(dataset: Dataset, encoder: CountingEncoder) -> None:
    expected = encoder.detector.encode_normals([read_image(path, SETTINGS) for path in dataset.pool[:2]])
    cache = TokenCache(encoder, SETTINGS, one_second_per_call())
    found = cache.patches(dataset.pool[:2], encoder.detector.method.rotations)
    torch.testing.assert_close(found.tokens, expected.tokens)
    assert torch.equal(found.valid_mask, expected.valid_mask)
    assert found.grid == expected.grid


def test_beyond_its_bound_it_encodes_again_to_the_same_tokens(dataset: Dataset, encoder: CountingEncoder) -> None:
    one_image = TokenCache(encoder, SETTINGS, one_second_per_call()).patches(dataset.pool[:1])
    cache = TokenCache(encoder, SETTINGS, one_second_per_call(), max_bytes=one_image.nbytes)
    before = encoder.images
    first, second = cache.patches(dataset.pool[:3]), cache.patches(dataset.pool[:3])
    assert encoder.images == before + 5
    assert torch.equal(first.tokens, second.tokens)


def test_a_folder_spares_the_next_run_the_network_and_stores_its_times(
    dataset: Dataset, encoder: CountingEncoder, tmp_path: Path
) -> None:
    first = TokenCache(encoder, SETTINGS, one_second_per_call(), tmp_path / "tokens")
    patches = first.patches(dataset.good)
    second = TokenCache(encoder, SETTINGS, one_second_per_call(), tmp_path / "tokens")
    assert torch.equal(second.patches(dataset.good).tokens, patches.tokens)
    assert encoder.images == len(dataset.good)
    assert len(dataset.good) <= ENCODE_BATCH_SIZE
    assert second.encode_ms == first.encode_ms == 1000 / len(dataset.good)


def test_normals_are_sorted_by_their_pixels(dataset: Dataset, encoder: CountingEncoder) -> None:
    cache = TokenCache(encoder, SETTINGS, one_second_per_call())
    generator = np.random.default_rng(0)
    expected = cache.sort_normals(dataset.pool)
    for _ in range(3):
        shuffled = [dataset.pool[index] for index in generator.permutation(len(dataset.pool))]
        assert cache.sort_normals(shuffled) == expected
