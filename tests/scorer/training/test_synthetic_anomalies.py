"""Synthesised anomalies change the image inside their mask alone, and enough to be visible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.training.images.synthetic_anomalies import (
    MIN_MEAN_CHANGE,
    SIDE_CELLS,
    SYNTHESISERS,
    AnomalySynthesiser,
    cut_paste,
    foreign_texture,
    perlin_noise,
    scratch,
    synthesise_anomaly,
)
from testing.line import part

SIZES = [(64, 64), (40, 200), (301, 97)]
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SYNTHESISERS), st.sampled_from(SIZES), SEEDS)
def test_an_anomaly_changes_the_image_only_inside_its_mask(
    synthesiser: AnomalySynthesiser, size: tuple[int, int], seed: int
) -> None:
    image = part(1, size=size)
    before = image.copy()
    anomaly = synthesiser(np.random.default_rng(seed), image)
    assert (image == before).all()
    assert anomaly.image.shape == image.shape
    assert anomaly.image.dtype == np.uint8
    assert anomaly.mask.shape == size
    assert (anomaly.image[~anomaly.mask] == image[~anomaly.mask]).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SIZES), SEEDS)
def test_an_anomaly_is_visible_and_no_smaller_than_a_cell(size: tuple[int, int], seed: int) -> None:
    image = part(2, size=size)
    anomaly = synthesise_anomaly(np.random.default_rng(seed), image)
    assert anomaly.mask.sum() >= size[0] * size[1] / SIDE_CELLS**2
    assert np.abs(anomaly.image.astype(float) - image)[anomaly.mask].mean() >= MIN_MEAN_CHANGE
    assert (anomaly.image[~anomaly.mask] == image[~anomaly.mask]).all()


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_uniform_images_get_anomalies_too(grey: int) -> None:
    flat = np.full((48, 48, 3), grey, np.uint8)
    for seed in range(10):
        anomaly = synthesise_anomaly(np.random.default_rng(seed), flat)
        assert (anomaly.image != flat).any()
        assert (anomaly.image[~anomaly.mask] == grey).all()


def test_equal_seeds_give_equal_anomalies_and_others_do_not() -> None:
    first, again, other = (synthesise_anomaly(np.random.default_rng(seed), part(1)).image for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()


def test_each_kind_covers_its_usual_area() -> None:
    image = part(3, size=(128, 128))
    covered = {
        synthesise: np.mean([synthesise(np.random.default_rng(seed), image).mask.mean() for seed in range(40)])
        for synthesise in (cut_paste, foreign_texture, scratch)
    }
    assert 0.004 <= covered[cut_paste] <= 0.12
    assert 0.01 <= covered[foreign_texture] <= 0.15
    assert covered[scratch] < 0.1


def test_perlin_noise_is_smooth_and_zero_at_the_lattice() -> None:
    noise = perlin_noise(np.random.default_rng(0), (90, 60), cells=3)
    assert noise.shape == (90, 60)
    assert np.abs(noise).max() <= 1.0
    steps = np.abs(np.diff(noise, axis=0)).max(), np.abs(np.diff(noise, axis=1)).max()
    assert max(steps) < 0.15
    # Around an inner corner of the lattice, half a pixel off, the noise is at most half a pixel's slope from zero.
    assert np.abs(noise[29:31, 19:21]).max() < 0.05
