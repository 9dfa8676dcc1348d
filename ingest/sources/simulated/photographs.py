"""The photographs that scikit-image has in its wheel, and functions that cut parts out of them.

Free to use: brick and gravel (CC0), coffee (CC0, Rachel Michetti), coins (Brooklyn Museum, no known restrictions).
"""

import functools
from importlib import resources

import numpy as np
from PIL import Image

from ingest.sources.simulated.imaging import FloatImage, distance_from

SIDE = 512
MARGIN = 64  # mirrored, so that a crop may reach a little over the edge


@functools.cache
def photograph_of(name: str) -> FloatImage:
    """Return a photograph of scikit-image as light from 0 to 1, (height, width) or (height, width, 3)."""
    with resources.files("skimage").joinpath("data", f"{name}.png").open("rb") as file:
        return np.asarray(Image.open(file), dtype=np.float32) / 255


@functools.cache
def _planes(photograph_name: str) -> tuple[Image.Image, ...]:
    photograph = photograph_of(photograph_name)
    planes = np.atleast_3d(photograph)
    return tuple(
        Image.fromarray(np.pad(planes[..., index], MARGIN, mode="symmetric")) for index in range(planes.shape[-1])
    )


def crop(name: str, centre: tuple[float, float], side: float, degrees: float, mirrored: bool = False) -> FloatImage:
    """Return a rotated square of `side` pixels around (x, y) of a photograph, enlarged to the sensor's size."""
    scale, angle, half = side / SIDE, np.deg2rad(degrees), SIDE / 2
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    right = (-a, b) if mirrored else (a, -b)
    matrix = (
        right[0], b, centre[0] + MARGIN - (right[0] + b) * half,
        right[1], a, centre[1] + MARGIN - (right[1] + a) * half,
    )  # fmt: skip
    size, affine, bicubic = (SIDE, SIDE), Image.Transform.AFFINE, Image.Resampling.BICUBIC
    cut = [np.asarray(plane.transform(size, affine, matrix, bicubic)) for plane in _planes(name)]
    return np.asarray(np.clip(cut[0] if len(cut) == 1 else np.stack(cut, axis=-1), 0, 1), dtype=np.float32)


def cut_disc(
    photograph: FloatImage,
    disc: tuple[float, float, float],
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    degrees: float,
) -> tuple[FloatImage, FloatImage]:
    """Move a disc (x, y, radius) of a grey photograph to `centre` and scale it to `radius`, on an image of `shape`.

    Returns:
        The image, and the part of each pixel that the disc covers, 0 to 1.
    """
    scale, angle = disc[2] / radius, np.deg2rad(degrees)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = (a, b, disc[0] - a * centre[0] - b * centre[1], -b, a, disc[1] + b * centre[0] - a * centre[1])
    size, affine, bicubic = (shape[1], shape[0]), Image.Transform.AFFINE, Image.Resampling.BICUBIC
    moved = np.asarray(Image.fromarray(photograph).transform(size, affine, matrix, bicubic), dtype=np.float32)
    cover = np.clip(radius - distance_from(shape, *centre) + 0.5, 0, 1)
    return np.clip(moved, 0, 1), cover.astype(np.float32)
