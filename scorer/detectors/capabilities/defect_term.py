"""What labelled defects add to a detector's score: a factor whose logarithm is linear in an image's evidence."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from scorer.detectors.protocol import Detector, FloatArray, References
from scorer.errors import InvalidReferences

COMPONENT = "defect head"
"""The name of the score's component; its value is the logarithm of the factor."""

MAX_LOG_FACTOR = 60.0
"""The logarithm of the factor lies between minus this and this, so that no score overflows."""


@dataclass(frozen=True, slots=True)
class DefectTerm:
    """The logarithm of the factor is `weights` · evidence + `offset`.

    Attributes:
        weights: (F,) float32, for the F numbers of a detector's evidence.
        offset: The logarithm for an image whose evidence is 0.
    """

    weights: FloatArray
    offset: float

    def to_bytes(self) -> bytes:
        """Return the term as little-endian float32, the offset last."""
        return np.append(self.weights, self.offset).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "DefectTerm":
        """Return what `to_bytes` was called on; raises `InvalidReferences` where the bytes are no such term."""
        if len(data) < 8 or len(data) % 4:
            raise InvalidReferences(f"{len(data)} bytes are no head of a defect set.")
        values = np.frombuffer(data, "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise InvalidReferences("The head of a defect set has values that are not finite.")
        return cls(values[:-1], float(values[-1]))

    def scoring_model_id(self, model_id: str) -> str:
        """Return the id of a detector with this term: equal ids give equal scores."""
        return sha256(model_id.encode() + b"\n" + self.to_bytes()).hexdigest()

    def factors(self, evidence: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the factor of each image's score, (N,), for evidence (N, F)."""
        logarithms = evidence @ self.weights.astype(np.float64) + self.offset
        factors: npt.NDArray[np.float64] = np.exp(np.clip(logarithms, -MAX_LOG_FACTOR, MAX_LOG_FACTOR))
        return factors


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector sees of B images beyond their distance from the normals.

    Attributes:
        scores: Their anomaly scores without a term, (B,).
        evidence: Numbers that tell defects apart, (B, F).
    """

    scores: npt.NDArray[np.float64]
    evidence: npt.NDArray[np.float64]


@runtime_checkable
class LearnsDefects(Detector, Protocol):
    """A detector whose score a defect term can be added to."""

    @property
    def learns_defects(self) -> bool:
        """Whether its method gives evidence."""

    def evidence(self, features: Any, references: References) -> Evidence:
        """Compare the result of `Detector.encode` with references without a term; none of the images is a normal."""

    def with_term(self, references: References, term: DefectTerm) -> References:
        """Return references by which images are scored with the term."""


def learns_defects(detector: Detector) -> "TypeGuard[LearnsDefects]":
    """Return whether a detector can learn from labelled defects."""
    return isinstance(detector, LearnsDefects) and detector.learns_defects
