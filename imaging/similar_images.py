"""Near-duplicates and outliers among images, found from small copies without a model.

Good parts under a fixed camera all look similar, so neither a fixed distance nor a perceptual hash of a few bits finds
a part that was photographed twice. A distance far below those of the other pairs of the set does. One that is unlike
the others is found by its colours as a whole, or by a place that no other image has anything like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from PIL import Image

from imaging.rgb import RgbImage

GreyThumbnail = npt.NDArray[np.float32]
"""(32, 32): the image in grey, standardized to mean 0 and standard deviation 1."""

ColourThumbnail = npt.NDArray[np.float32]
"""(16, 16, 3): the image in RGB, 0..1."""

DetailThumbnail = npt.NDArray[np.float32]
"""(64, 64): the image in grey, 0..255."""

GREY_SIZE, COLOUR_SIZE, DETAIL_SIZE = 32, 16, 64
NEAR_DUPLICATE = 0.2  # of the median distance; images taken twice lie at 0.14 and less, different parts above 0.26
IDENTICAL = 0.01  # of a standard deviation: one image saved twice, for sets without other pairs to compare with
OUTLIER_Z = 3.5  # modified z-score (Iglewicz and Hoaglin, 1993)
MIN_FOR_OUTLIERS = 4

# Of the median of the set. Of sets of eight good parts that are placed alike, the most conspicuous one lies at 1.7 and
# below; with a scratch half as long as the part's radius it lies at 9.
ODD_PLACE, ODD_COLOURS = 3.0, 2.0
ODD_COLOURS_Z = 10.0  # a set's own colours vary up to 7
SHIFT = 2  # of 64 pixels: how far parts are moved against each other to look alike
PLACE_SIZE, PLACES = 3, 12  # of 64 pixels: the side of a place, and how many of the oddest make an image's oddness
MOST_COMPARED = 15  # images that each is compared with, those most like it
_MAD_TO_SIGMA = 0.6745


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Three small copies of an image that distances are computed from."""

    grey: GreyThumbnail
    colour: ColourThumbnail
    detail: DetailThumbnail


def fingerprint(pixels: RgbImage) -> Fingerprint:
    """Return the fingerprint of a decoded image."""
    image = Image.fromarray(pixels)
    grey = np.asarray(image.convert("L").resize((GREY_SIZE, GREY_SIZE), Image.Resampling.BOX), dtype=np.float32)
    colour = np.asarray(image.resize((COLOUR_SIZE, COLOUR_SIZE), Image.Resampling.BOX), dtype=np.float32)
    detail = image.convert("L").resize((DETAIL_SIZE, DETAIL_SIZE), Image.Resampling.BOX)
    standardized = (grey - grey.mean()) / (grey.std() or np.float32(1))
    return Fingerprint(standardized, colour / np.float32(255), np.asarray(detail, dtype=np.float32))


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


def outliers(values: Mapping[str, float], min_z: float = OUTLIER_Z) -> list[str]:
    """Return the names whose value is far above the others by the modified z-score; none among fewer than four."""
    if len(values) < MIN_FOR_OUTLIERS:
        return []
    numbers = np.array(list(values.values()))
    median = float(np.median(numbers))
    spread = float(np.median(np.abs(numbers - median)))
    if spread == 0:
        spread = float(np.mean(np.abs(numbers - median))) or 1.0
    return [name for name, value in values.items() if _MAD_TO_SIGMA * (value - median) / spread > min_z]


def odd_ones(fingerprints: Mapping[str, Fingerprint]) -> list[str]:
    """Return the names of images unlike the others, in their order; none among fewer than four.

    Either their colours are, or a place is that no other image has anything like: a defect, or something else.
    """
    by_place, by_colours = oddest_places(fingerprints), distances_from_median(fingerprints)
    odd = set(outliers(by_place)) & _above(by_place, ODD_PLACE)
    odd |= set(outliers(by_colours, ODD_COLOURS_Z)) & _above(by_colours, ODD_COLOURS)
    return [name for name in fingerprints if name in odd]


def oddest_places(fingerprints: Mapping[str, Fingerprint]) -> dict[str, float]:
    """Return how much each image's oddest places differ from what any other shows about there, in grey levels."""
    if len(fingerprints) < MIN_FOR_OUTLIERS:
        return {}
    details = np.stack([one.detail for one in fingerprints.values()])
    padded = np.pad(details, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    between = np.abs(details[:, None] - details[None]).mean(axis=(2, 3))
    np.fill_diagonal(between, np.inf)
    alike = np.argsort(between, axis=1, kind="stable")[:, : min(MOST_COMPARED, len(details) - 1)]
    return {
        name: _oddest_places(detail, padded[alike[index]])
        for index, (name, detail) in enumerate(zip(fingerprints, details, strict=True))
    }


def _oddest_places(detail: DetailThumbnail, others: npt.NDArray[np.float32]) -> float:
    """Compare every place with the same one of the others, moved by up to `SHIFT` pixels each way."""
    least = np.full(detail.shape, np.inf)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            moved = others[:, down : down + DETAIL_SIZE, right : right + DETAIL_SIZE]
            np.minimum(least, _place_means(np.abs(detail - moved)).min(axis=0), out=least)
    return float(np.sort(least, axis=None)[-PLACES:].mean())


def _place_means(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the mean of the square of `PLACE_SIZE` pixels around each, (images, 64, 64)."""
    half = PLACE_SIZE // 2
    padded = np.pad(values.astype(np.float64), ((0, 0), (half + 1, half), (half + 1, half)), mode="edge")
    sums = padded.cumsum(axis=1).cumsum(axis=2)
    size = PLACE_SIZE
    inside = sums[:, size:, size:] - sums[:, :-size, size:] - sums[:, size:, :-size] + sums[:, :-size, :-size]
    return np.asarray(inside / size**2)


def _above(values: Mapping[str, float], times_median: float) -> set[str]:
    limit = times_median * float(np.median(list(values.values()))) if values else 0.0
    return {name for name, value in values.items() if value > limit}


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
