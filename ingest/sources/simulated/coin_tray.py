"""A tray of twelve coins, each in its recess: coins can be missing, turned or swapped."""

from dataclasses import dataclass, replace

import numpy as np

from ingest.sources.simulated.defects import DefectRegion, Mask, dent, scratch, stain
from ingest.sources.simulated.imaging import FloatImage, distance_from, smooth_noise
from ingest.sources.simulated.photographs import cut_disc, photograph_of

COINS = (
    (335, 43, 27.5), (155, 51, 22), (215, 51, 21.5), (271, 119, 23.5),
    (102, 196, 20.5), (348, 186, 30), (212, 193, 22.5), (46, 260, 27),
    (169, 261, 25), (244, 263, 22.5), (114, 265, 20.5), (300, 264, 23.5),
)  # fmt: skip
"""The coins in the photograph: x, y and radius in pixels."""

HEIGHT, WIDTH, PITCH = 400, 512, 122
RADIUS = 45
REACH = RADIUS + 14  # a recess with its lip, and a coin with its shadow, lie within
DEFECTS = ("missing_part", "turned_part", "swapped_part", "scratch", "stain", "dent")

SILVER = np.array([1.0, 0.95, 0.86], dtype=np.float32)
BLUE_FOAM = np.array([0.82, 0.95, 1.12], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Recess:
    """A recess of the tray: its coin (None: empty), the coin's angle, and its centre in pixels."""

    coin: int | None
    x: float
    y: float
    degrees: float


def draw(rng: np.random.Generator, defect: str | None) -> tuple[FloatImage, Mask]:
    """Draw a tray with one defect or none; return its image and the mask of the defect."""
    recesses, foam = _recesses(rng), _foam(rng)
    damaged = int(rng.integers(len(recesses)))
    recess = recesses[damaged]
    if defect == "missing_part":
        recesses[damaged] = replace(recess, coin=None)
    elif defect == "turned_part":
        recesses[damaged] = replace(recess, degrees=recess.degrees + float(rng.uniform(60, 300)))
    elif defect == "swapped_part":
        recesses[damaged] = replace(recess, coin=(damaged + int(rng.integers(1, len(COINS)))) % len(COINS))
    image = _tray(recesses, foam)
    x, y = np.array([recess.x, recess.y]) + rng.uniform(-0.3, 0.3, 2) * RADIUS
    on_coin = distance_from((HEIGHT, WIDTH), recess.x, recess.y) < RADIUS
    if defect == "scratch":
        scratched, mask = scratch(image, DefectRegion(float(x), float(y), float(rng.uniform(34, 44))), rng)
        return np.where(on_coin[..., None], scratched, image), mask & on_coin
    if defect == "stain":
        return stain(image, DefectRegion(float(x), float(y), float(rng.uniform(32, 46))), rng)
    if defect == "dent":
        return dent(image, DefectRegion(float(x), float(y), float(rng.uniform(22, 30))), rng)
    return image, on_coin & (defect is not None)


def _recesses(rng: np.random.Generator) -> list[_Recess]:
    """Return the coins of a good tray; the tray is shifted and turned a little, at random."""
    shift, turn = rng.normal(0, 1, 2), np.deg2rad(rng.normal(0, 0.2))
    recesses = []
    for coin in range(len(COINS)):
        across, down = (coin % 4 - 1.5) * PITCH, (coin // 4 - 1) * PITCH
        x = WIDTH / 2 + across * np.cos(turn) - down * np.sin(turn) + shift[0] + rng.normal(0, 0.5)
        y = HEIGHT / 2 + across * np.sin(turn) + down * np.cos(turn) + shift[1] + rng.normal(0, 0.5)
        recesses.append(_Recess(coin, float(x), float(y), float(rng.normal(0, 1))))
    return recesses


def _foam(rng: np.random.Generator) -> FloatImage:
    shape = (HEIGHT, WIDTH)
    grain = (
        0.2
        + 0.012 * smooth_noise(shape, 2, rng)
        + 0.01 * smooth_noise(shape, 6, rng)
        + 0.006 * smooth_noise(shape, 60, rng)
    )
    return np.asarray(grain[..., None] * BLUE_FOAM, dtype=np.float32)


def _tray(recesses: list[_Recess], foam: FloatImage) -> FloatImage:
    image = foam.copy()
    for recess in recesses:
        top, left = max(0, int(recess.y) - REACH), max(0, int(recess.x) - REACH)
        window = image[top : top + 2 * REACH, left : left + 2 * REACH]  # a view: drawing into it changes the image
        x, y = recess.x - left, recess.y - top
        _draw_recess(window, x, y)
        if recess.coin is not None:
            _draw_coin(window, x, y, COINS[recess.coin], recess.degrees)
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)


def _disc(distance: FloatImage, radius: float, softness: float) -> FloatImage:
    return np.asarray(np.clip((radius - distance) / softness + 0.5, 0, 1), dtype=np.float32)


def _draw_recess(window: FloatImage, x: float, y: float) -> None:
    """Draw a round recess, with a shadow from the upper left and light on its lower right wall."""
    shape = (window.shape[0], window.shape[1])
    hollow = _disc(distance_from(shape, x, y), RADIUS + 5, 1.6)
    shadow = hollow * (1 - _disc(distance_from(shape, x + 4, y + 5), RADIUS + 3, 9))
    lip = _disc(distance_from(shape, x, y), RADIUS + 7, 2) - _disc(
        distance_from(shape, x - 1.2, y - 1.5), RADIUS + 6, 2
    )
    window *= (1 - 0.35 * hollow - 0.45 * shadow + 0.45 * np.clip(lip, 0, 1))[..., None]


def _draw_coin(window: FloatImage, x: float, y: float, coin: tuple[float, float, float], degrees: float) -> None:
    """Draw a coin with its shadow on the foam and its rounded rim."""
    shape = (window.shape[0], window.shape[1])
    shadow = _disc(distance_from(shape, x + 2.5, y + 3.5), RADIUS, 6)
    face, cover = cut_disc(photograph_of("coins"), coin, shape, (x, y), RADIUS, degrees)
    rim = 1 - 0.55 * np.clip((distance_from(shape, x, y) - RADIUS + 5) / 5, 0, 1) ** 2
    metal = (0.92 * face * rim)[..., None] * SILVER
    window *= (1 - 0.6 * shadow)[..., None] * (1 - cover)[..., None]
    window += metal * cover[..., None]
