"""A vector per image by which images are compared with each other, not with normals."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from imaging.similar_images import fingerprint
from scorer.detectors.protocol import Detector
from scorer.imaging.framing import Framed

Descriptor = npt.NDArray[np.float64]
"""(D,), of one length for all images of a detector."""


@runtime_checkable
class DescribesFeatures(Protocol):
    """A detector that tells from its features which images resemble each other."""

    def descriptors(self, features: Any) -> npt.NDArray[np.float64]:
        """Return a vector per image, (B, D), of the result of `Detector.encode` on B images."""


def describe(detector: Detector, framed: Sequence[Framed]) -> list[Descriptor]:
    """Return a vector per prepared image: of the detector's features, or of a small grey copy where it has none."""
    if isinstance(detector, DescribesFeatures):
        return list(detector.descriptors(detector.encode(framed)))
    return [fingerprint(image.tiles[0]).grey.astype(np.float64).flatten() for image in framed]
