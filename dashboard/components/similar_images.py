"""Near-duplicates and outliers among images, found from small copies without a model.

Good parts under a fixed camera all look similar, so neither a fixed distance nor a perceptual hash of a few bits finds
a part that was photographed twice. A distance far below those of the other pairs of the set does.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from PIL import Image

GreyThumbnail = npt.NDArray[np.float32]
"""(32, 32): the image in grey, standardized to mean 0 and standard deviation 1."""

ColourThumbnail = npt.NDArray[np.float32]
"""(16, 16, 3): the image in RGB, 0..1."""

GREY_SIZE, COLOUR_SIZE = 32, 16
NEAR_DUPLICATE = 0.2  # of the median distance; images taken twice lie at 0.14 and less, different parts above 0.26
IDENTICAL = 0.01  # of a standard deviation: one image saved twice, for sets without other pairs to compare with
OUTLIER_Z = 3.5  # modified z-score (Iglewicz and Hoaglin, 1993)
MIN_FOR_OUTLIERS = 4
_MAD_TO_SIGMA = 0.6745


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Two small copies of an image that distances are computed from."""

    grey: GreyThumbnail
    colour: ColourThumbnail


def fingerprint(data: bytes) -> Fingerprint:
    """Return the fingerprint of an encoded image.

    Raises:
        ValueError: The bytes are not an image.
    """
    try:
        with Image.open(io.BytesIO(data)) as encoded:
            image = encoded.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(f"these {len(data)} bytes are not an image: {error}") from error
    grey = np.asarray(image.convert("L").resize((GREY_SIZE, GREY_SIZE), Image.Resampling.BOX), dtype=np.float32)
    colour = np.asarray(image.resize((COLOUR_SIZE, COLOUR_SIZE), Image.Resampling.BOX), dtype=np.float32)
    return Fingerprint((grey - grey.mean()) / (grey.std() or np.float32(1)), colour / np.float32(255))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Return the mean absolute difference per pixel, in standard deviations of an image."""
    return float(np.abs(one.grey - other.grey).mean())


def near_duplicates(fingerprints: Mapping[str, Fingerprint]) -> list[tuple[str, str]]:
    """Return the pairs of names that show the same part twice, in the order of the images."""
    distances = {
        (one, other): distance(fingerprints[one], fingerprints[other]) for one, other in combinations(fingerprints, 2)
    }
    median = float(np.median(list(distances.values()))) if len(distances) > 1 else 0.0
    return [pair for pair, value in distances.items() if value <= max(IDENTICAL, NEAR_DUPLICATE * median)]


def duplicates_by_name(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return, for each name that occurs in a pair, the names it is paired with."""
    found: dict[str, list[str]] = {}
    for first, second in pairs:
        found.setdefault(first, []).append(second)
        found.setdefault(second, []).append(first)
    return {name: found[name] for name in names if name in found}


def outliers(values: Mapping[str, float]) -> list[str]:
    """Return the names whose value is far above the others by the modified z-score; none among fewer than four."""
    if len(values) < MIN_FOR_OUTLIERS:
        return []
    numbers = np.array(list(values.values()))
    median = float(np.median(numbers))
    spread = float(np.median(np.abs(numbers - median)))
    if spread == 0:
        spread = float(np.mean(np.abs(numbers - median))) or 1.0
    return [name for name, value in values.items() if _MAD_TO_SIGMA * (value - median) / spread > OUTLIER_Z]


def distances_from_median(fingerprints: Mapping[str, Fingerprint]) -> dict[str, float]:
    """Return each image's mean absolute difference from the median image, per pixel and channel, 0..1."""
    if not fingerprints:
        return {}
    median = np.median(np.stack([one.colour for one in fingerprints.values()]), axis=0)
    return {name: float(np.abs(one.colour - median).mean()) for name, one in fingerprints.items()}


def nearest(frame: Fingerprint, fingerprints: Mapping[str, Fingerprint]) -> list[str]:
    """Return the names ordered by similarity to a frame, the most similar first."""
    distances = {name: float(np.abs(one.colour - frame.colour).mean()) for name, one in fingerprints.items()}
    return sorted(distances, key=lambda name: (distances[name], name))
