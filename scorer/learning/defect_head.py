"""The defect head: a linear classifier that learns from a few reviewed defects what defects of a station look like.

A detector compares with normals alone, and all that is far from them looks alike to it. The head sees what the farthest
patches of a frame show (`scorer.detectors.patch_based.evidence`) and separates the defects that people confirmed from
the other frames of the stream. It is a logistic regression whose two classes weigh the same. With a handful of defects
in a thousand dimensions it must be strongly regularised.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

INVERSE_REGULARISATION = 0.001
"""The weight of the data beside that of the squared coefficients (C of scikit-learn); features have unit variance."""

MIN_STD = 1e-6
"""A feature that varies less is a constant."""

MAX_FOLDS = 10
"""The most parts in which frames are scored by a head that was fitted without them: as many fits as that."""


@dataclass(frozen=True, slots=True)
class DefectHead:
    """A fitted head for features of F numbers.

    Attributes:
        mean: The features' mean, (F,).
        std: Their standard deviation, (F,).
        coefficients: (F,), for standardised features.
        intercept: The logit of a frame whose features are the mean.
    """

    mean: FloatArray
    std: FloatArray
    coefficients: FloatArray
    intercept: float

    @classmethod
    def fit(cls, features: FloatArray, is_defect: BoolArray) -> "DefectHead":
        """Fit a head; the result does not depend on the order of the frames beyond rounding.

        Args:
            features: (N, F).
            is_defect: (N,); a frame that nobody reviewed counts as good. Both kinds must be present.

        Raises:
            ValueError: All frames are good, or all are defects.
        """
        defects = int(is_defect.sum())
        if not 0 < defects < len(is_defect):
            raise ValueError(f"A defect head needs defects and good frames, not {defects} of {len(is_defect)}.")
        mean, std = features.mean(axis=0), features.std(axis=0)
        std = np.where(std < MIN_STD, np.inf, std)
        standardised = (features - mean) / std
        class_weights = np.where(
            is_defect, len(is_defect) / (2 * defects), len(is_defect) / (2 * (len(is_defect) - defects))
        )
        signs = np.where(is_defect, 1.0, -1.0)

        def loss_and_gradient(parameters: FloatArray) -> tuple[float, FloatArray]:
            coefficients = parameters[1:]
            margins = signs * (standardised @ coefficients + parameters[0])
            loss = float((class_weights * np.logaddexp(0, -margins)).sum())
            slopes = -signs * class_weights * np.exp(-np.logaddexp(0, margins))  # of the loss by the logit
            gradient = np.concatenate([[slopes.sum()], slopes @ standardised]) * INVERSE_REGULARISATION
            gradient[1:] += coefficients
            return INVERSE_REGULARISATION * loss + 0.5 * float(coefficients @ coefficients), gradient

        start = np.zeros(features.shape[1] + 1)
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-8})
        return cls(mean, std, found.x[1:], float(found.x[0]))

    def logits(self, features: FloatArray) -> FloatArray:
        """Return the logit of being a defect of each frame, (N,), for features (N, F)."""
        logits: FloatArray = ((features - self.mean) / self.std) @ self.coefficients + self.intercept
        return logits


def cross_fitted_logits(features: FloatArray, is_defect: BoolArray, identities: Sequence[str]) -> FloatArray:
    """Return the logit of each frame by a head that was fitted without it, (N,).

    Logits of frames that a head was fitted to are too certain to calibrate a threshold from. Up to `MAX_FOLDS` defects,
    each fold misses exactly one of them: heads of different numbers of defects have logits of different scales. A
    single defect is the one exception: no head can do without it.

    Args:
        features: (N, F).
        is_defect: (N,), as `DefectHead.fit` takes it.
        identities: N different texts that sort the frames into folds, so that their order does not matter.
    """
    order = np.array(sorted(range(len(identities)), key=lambda index: (not is_defect[index], identities[index])))
    defects = int(is_defect.sum())
    count = min(defects, MAX_FOLDS) if defects > 1 else MAX_FOLDS
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % count
    logits = np.empty(len(order))
    for fold in range(count):
        held_apart = folds == fold
        fitted_to = ~held_apart
        if not is_defect[fitted_to].any():
            fitted_to = fitted_to | is_defect
        if held_apart.any():
            logits[held_apart] = DefectHead.fit(features[fitted_to], is_defect[fitted_to]).logits(features[held_apart])
    return logits
