import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.training.synthetic_anomalies import (
    MIN_MEAN_CHANGE,
    SIDE_CELLS,
    SYNTHESISERS,
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
def test_a_mark_changes_the_picture_only_inside_its_mask(mark, size, seed):
    picture = part(1, size=size)
    before = picture.copy()
    made = mark(np.random.default_rng(seed), picture)
    assert (picture == before).all()
    assert made.picture.shape == picture.shape
    assert made.picture.dtype == np.uint8
    assert made.mask.shape == size
    assert (made.picture[~made.mask] == picture[~made.mask]).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SIZES), SEEDS)
def test_an_anomaly_can_be_seen_and_is_no_smaller_than_a_cell(size, seed):
    picture = part(2, size=size)
    made = synthesise_anomaly(np.random.default_rng(seed), picture)
    assert made.mask.sum() >= size[0] * size[1] / SIDE_CELLS**2
    assert np.abs(made.picture.astype(float) - picture)[made.mask].mean() >= MIN_MEAN_CHANGE
    assert (made.picture[~made.mask] == picture[~made.mask]).all()


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_flat_pictures_get_anomalies_too(grey):
    flat = np.full((48, 48, 3), grey, np.uint8)
    for seed in range(10):
        made = synthesise_anomaly(np.random.default_rng(seed), flat)
        assert (made.picture != flat).any()
        assert (made.picture[~made.mask] == grey).all()


def test_the_same_seed_gives_the_same_anomaly_and_another_another():
    first, again, other = (synthesise_anomaly(np.random.default_rng(seed), part(1)).picture for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()


def test_marks_are_of_their_kind():
    picture = part(3, size=(128, 128))
    covered = {
        mark: np.mean([mark(np.random.default_rng(seed), picture).mask.mean() for seed in range(40)])
        for mark in (cut_paste, foreign_texture, scratch)
    }
    assert 0.004 <= covered[cut_paste] <= 0.12
    assert 0.01 <= covered[foreign_texture] <= 0.15
    assert covered[scratch] < 0.1


def test_perlin_noise_is_smooth_and_nought_at_the_lattice():
    noise = perlin_noise(np.random.default_rng(0), (90, 60), cells=3)
    assert noise.shape == (90, 60)
    assert np.abs(noise).max() <= 1.0
    steps = np.abs(np.diff(noise, axis=0)).max(), np.abs(np.diff(noise, axis=1)).max()
    assert max(steps) < 0.15
    # Around an inner corner of the lattice, half a pixel off, the noise is at most half a pixel's slope from zero.
    assert np.abs(noise[29:31, 19:21]).max() < 0.05
