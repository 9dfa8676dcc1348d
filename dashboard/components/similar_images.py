"""Pictures that look alike, and one that looks unlike the others, told from small copies without a model.

Good parts under a fixed camera all look much alike, so no fixed distance, and no perceptual hash of a few bits, tells a
picture that was taken twice. What tells it is that two pictures are far nearer to each other than pairs of the set are.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.float32]
"""(32, 32): the picture in grey with its light taken off, mean 0 and standard deviation 1."""

Glance = npt.NDArray[np.float32]
"""(16, 16, 3), 0..1: the picture at a glance, with its colours and its light."""

GREY, GLANCE = 32, 16
NEAR_DUPLICATE = (
    0.2  # of the median pair; retakes with other noise and light lie at 0.14 and less, real pairs above 0.26
)
SAME = 0.01  # of a standard deviation: the same picture, saved once more, where a set has no other pairs to measure by
STANDS_OUT = 3.5  # robust standard deviations, the usual mark (Iglewicz and Hoaglin, 1993)
FEWEST = 4  # pictures among which one can stand out
_MAD_TO_SIGMA = 0.6745


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is remembered of a picture."""

    grey: Grey
    glance: Glance


def look(data: bytes) -> Fingerprint:
    """Of an encoded picture; raises `ValueError` when it can't be opened."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(f"these {len(data)} bytes can't be looked at: {error}") from error
    grey = np.asarray(picture.convert("L").resize((GREY, GREY), Image.Resampling.BOX), dtype=np.float32)
    glance = np.asarray(picture.resize((GLANCE, GLANCE), Image.Resampling.BOX), dtype=np.float32) / np.float32(255)
    return Fingerprint((grey - grey.mean()) / (grey.std() or np.float32(1)), glance)


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Mean difference a pixel, in standard deviations of a picture."""
    return float(np.abs(one.grey - other.grey).mean())


def near_duplicates(looks: Mapping[str, Fingerprint]) -> list[tuple[str, str]]:
    """Pairs that show the same thing twice, in the order of the pictures."""
    apart = {(one, other): distance(looks[one], looks[other]) for one, other in combinations(looks, 2)}
    usual = float(np.median(list(apart.values()))) if len(apart) > 1 else 0.0
    return [pair for pair, away in apart.items() if away <= max(SAME, NEAR_DUPLICATE * usual)]


def outliers(values: Mapping[str, float]) -> list[str]:
    """Those far above the others, by the modified z-score; none among fewer than four."""
    if len(values) < FEWEST:
        return []
    numbers = np.array(list(values.values()))
    median = float(np.median(numbers))
    spread = float(np.median(np.abs(numbers - median)))
    if spread == 0:
        spread = float(np.mean(np.abs(numbers - median))) or 1.0
    return [name for name, value in values.items() if _MAD_TO_SIGMA * (value - median) / spread > STANDS_OUT]


def unlikeness(looks: Mapping[str, Fingerprint]) -> dict[str, float]:
    """How far each lies from the picture that is the median of all, per pixel and colour, 0..1."""
    if not looks:
        return {}
    middle = np.median(np.stack([one.glance for one in looks.values()]), axis=0)
    return {name: float(np.abs(one.glance - middle).mean()) for name, one in looks.items()}


def nearest(frame: Fingerprint, looks: Mapping[str, Fingerprint]) -> list[str]:
    """The pictures by how alike they are to the frame at a glance, the most alike first."""
    away = {name: float(np.abs(one.glance - frame.glance).mean()) for name, one in looks.items()}
    return sorted(away, key=lambda name: (away[name], name))


def twins(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Of each picture that has near-duplicates, which ones."""
    found: dict[str, list[str]] = {}
    for first, second in pairs:
        found.setdefault(first, []).append(second)
        found.setdefault(second, []).append(first)
    return {name: found[name] for name in names if name in found}
