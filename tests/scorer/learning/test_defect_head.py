"""The defect head finds the minimum of its loss, and judges no frame by a head that knew it."""

import numpy as np
import pytest
from scipy.special import expit  # type: ignore[import-untyped]

from scorer.learning.defect_head import INVERSE_REGULARISATION, DefectHead, cross_fitted_logits


def frames(good: int = 30, defects: int = 4, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    is_defect = np.arange(good + defects) >= good
    features = generator.normal(size=(good + defects, width))
    features[is_defect, 3] += 6
    return features, is_defect


def test_defects_have_the_larger_logits() -> None:
    features, is_defect = frames()
    logits = DefectHead.fit(features, is_defect).logits(features)
    assert logits[is_defect].min() > logits[~is_defect].max()


def test_the_fit_is_the_minimum_of_the_balanced_regularised_loss() -> None:
    """At the minimum C · Σ weight · (σ(logit) − label) · x = −coefficients, and the same sum without x is zero."""
    features, is_defect = frames()
    head = DefectHead.fit(features, is_defect)
    weights = np.where(is_defect, 34 / (2 * 4), 34 / (2 * 30))
    errors = weights * (expit(head.logits(features)) - is_defect)
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    assert errors.sum() == pytest.approx(0, abs=1e-3)
    assert -INVERSE_REGULARISATION * errors @ standardised == pytest.approx(head.coefficients, abs=1e-6)


def test_the_order_of_frames_does_not_matter() -> None:
    features, is_defect = frames()
    names = [f"frame {number}" for number in range(len(is_defect))]
    order = np.random.default_rng(1).permutation(len(is_defect))
    logits = cross_fitted_logits(features, is_defect, names)
    shuffled = cross_fitted_logits(features[order], is_defect[order], [names[index] for index in order])
    assert shuffled == pytest.approx(logits[order], abs=1e-4)


def test_a_constant_feature_says_nothing() -> None:
    features, is_defect = frames()
    features[:, 5] = 2.5
    head = DefectHead.fit(features, is_defect)
    assert np.isfinite(head.logits(features)).all()
    changed = features.copy()
    changed[:, 5] = 99
    assert head.logits(changed) == pytest.approx(head.logits(features))


def test_a_cross_fitted_logit_is_less_certain_than_a_fitted_one() -> None:
    generator = np.random.default_rng(3)
    features, is_defect = generator.normal(size=(40, 200)), np.arange(40) >= 34
    names = [str(number) for number in range(40)]
    fitted = DefectHead.fit(features, is_defect).logits(features)
    apart = cross_fitted_logits(features, is_defect, names)
    assert fitted[is_defect].mean() - fitted[~is_defect].mean() > apart[is_defect].mean() - apart[~is_defect].mean()


def test_one_defect_is_enough_for_every_frame_to_have_a_logit() -> None:
    features, is_defect = frames(defects=1)
    logits = cross_fitted_logits(features, is_defect, [str(number) for number in range(len(is_defect))])
    assert np.isfinite(logits).all()
    assert logits.argmax() == 30


def test_the_heads_of_all_folds_know_equally_many_defects() -> None:
    """Of three defects each head knows two, so that a good frame's logit does not depend on the fold it falls in."""
    features = np.zeros((33, 1))
    is_defect = np.arange(33) >= 30
    features[is_defect] = 1.0
    logits = cross_fitted_logits(features, is_defect, [f"{number:02}" for number in range(33)])
    assert logits[:30] == pytest.approx(logits[0], abs=1e-6)


@pytest.mark.parametrize("is_defect", [np.zeros(5, bool), np.ones(5, bool)])
def test_one_kind_of_frames_fits_no_head(is_defect: np.ndarray) -> None:
    with pytest.raises(ValueError, match="of 5"):
        DefectHead.fit(np.ones((5, 2)), is_defect)
