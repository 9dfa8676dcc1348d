"""Procedurally made surfaces with and without blemishes: what a factory shows and photographs of the world do not."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

GreyField = npt.NDArray[np.float32]
"""One square field, (side, side), about [0, 1]."""

_FEWEST_BLEMISHES, _MOST_BLEMISHES = 1, 4


def _to_unit(field: npt.NDArray[np.floating]) -> GreyField:
    low, high = np.percentile(field, (1, 99))
    unit: GreyField = np.clip((field - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return unit


def noise(draw: np.random.Generator, side: int) -> GreyField:
    """Noise with a 1/f^a spectrum, stretched along one direction: rust, cast metal, cloth, brushed steel."""
    rows = np.fft.fftfreq(side)[:, None]
    columns = np.fft.rfftfreq(side)[None]
    angle, stretch = draw.uniform(0, np.pi), np.exp(draw.uniform(0, 2.5))
    along = np.cos(angle) * rows + np.sin(angle) * columns
    across = np.cos(angle) * columns - np.sin(angle) * rows
    radius = np.sqrt((along * stretch) ** 2 + across**2) + 1 / side
    spectrum = np.fft.rfft2(draw.standard_normal((side, side))) * radius ** -draw.uniform(0.3, 2.2)
    return _to_unit(np.fft.irfft2(spectrum, s=(side, side)))


def _rotated(draw: np.random.Generator, side: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    angle = draw.choice([0.0, np.pi / 2, draw.uniform(0, np.pi)])
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    return np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows


def bars(draw: np.random.Generator, side: int) -> GreyField:
    """Parallel lines of one period, soft or sharp: grooves, bus bars, weave when crossed."""
    along, across = _rotated(draw, side)
    period, sharpness = draw.uniform(6, side / 2), np.exp(draw.uniform(-0.5, 3))
    phase = draw.uniform(0, 2 * np.pi)
    field = np.tanh(sharpness * (np.cos(2 * np.pi * along / period + phase) + draw.uniform(-0.9, 0.9)))
    if draw.random() < 0.5:
        other = period * draw.choice([1.0, draw.uniform(0.3, 3)])
        field = field + draw.uniform(0.3, 1) * np.tanh(sharpness * np.cos(2 * np.pi * across / other))
    return _to_unit(field)


def cells(draw: np.random.Generator, side: int) -> GreyField:
    """Grains around scattered points, flat or shaded to their borders: crystals, stone, leather."""
    count = int(draw.integers(5, 60))
    points = draw.uniform(0, side, (count, 2)).astype(np.float32)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    squared = (rows[None] - points[:, 0, None, None]) ** 2 + (columns[None] - points[:, 1, None, None]) ** 2
    nearest = np.partition(squared, 1, axis=0)[:2]
    if draw.random() < 0.5:
        return _to_unit(draw.random(count)[np.argmin(squared, axis=0)])
    return _to_unit(np.minimum(np.sqrt(nearest[1]) - np.sqrt(nearest[0]), draw.uniform(3, 40)))


def grid(draw: np.random.Generator, side: int) -> GreyField:
    """One motif repeated in rows and columns: pins, pads, holes, tablets in a blister."""
    across, down = int(draw.integers(1, 9)), int(draw.integers(1, 9))
    picture = Image.new("L", (side, side), int(draw.integers(0, 256)))
    pen = ImageDraw.Draw(picture)
    width, height = side / across, side / down
    left, top = draw.uniform(0.05, 0.4, 2)
    shape, fill, inner = draw.random() < 0.5, int(draw.integers(0, 256)), int(draw.integers(0, 256))
    for row in range(down):
        for column in range(across):
            box = [(column + left) * width, (row + top) * height, (column + 1 - left) * width, (row + 1 - top) * height]
            (pen.ellipse if shape else pen.rectangle)(box, fill=fill, outline=inner)
            if draw.random() < 0.9:
                x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                pen.ellipse([x - width / 9, y - height / 9, x + width / 9, y + height / 9], fill=inner)
    return np.asarray(picture, np.float32) / np.float32(255)


def plain(draw: np.random.Generator, side: int) -> GreyField:
    """A smooth shading only: an empty surface under one lamp."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    bend = draw.uniform(-1, 1, 5)
    return _to_unit(
        bend[0] * rows + bend[1] * columns + bend[2] * rows**2 + bend[3] * columns**2 + bend[4] * rows * columns
    )


_SURFACES = (noise, noise, bars, cells, grid, plain)


def blemish(draw: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Draw scratches, cracks, stains or dents on a copy of a picture."""
    marked = picture.copy()
    side = min(picture.size)
    for _ in range(int(draw.integers(_FEWEST_BLEMISHES, _MOST_BLEMISHES + 1))):
        layer = Image.new("L", picture.size, 0)
        pen = ImageDraw.Draw(layer)
        x, y = draw.uniform(0, picture.size[0]), draw.uniform(0, picture.size[1])
        if draw.random() < 0.6:
            heading, bend, step = draw.uniform(0, 2 * np.pi), draw.uniform(0, 0.6), draw.uniform(0.01, 0.06) * side
            path = [(x, y)]
            for _ in range(int(draw.integers(3, 15))):
                heading += draw.normal(0, bend)
                x, y = x + step * np.cos(heading), y + step * np.sin(heading)
                path.append((x, y))
            pen.line(path, fill=255, width=int(draw.integers(1, 5)))
        else:
            across, down = np.exp(draw.uniform(np.log(0.01), np.log(0.15), 2)) * side
            pen.ellipse([x - across, y - down, x + across, y + down], fill=255)
        soft = layer.filter(ImageFilter.GaussianBlur(float(draw.uniform(0, 2))))
        strength = draw.uniform(0.15, 1)
        colour = (
            tuple(int(c) for c in draw.integers(0, 256, 3))
            if draw.random() < 0.3
            else (int(draw.integers(0, 256)),) * 3
        )
        marked.paste(colour, (0, 0), soft.point([int(v * strength) for v in range(256)]))
    return marked


def synthesise_surface(draw: np.random.Generator, side: int) -> Image.Image:
    """One made surface, (side, side), RGB: a sum of one to three fields, coloured from one tone to another."""
    field = np.zeros((side, side), np.float32)
    for _ in range(int(draw.integers(1, 4))):
        field += draw.uniform(0.2, 1) * _SURFACES[draw.integers(len(_SURFACES))](draw, side)
    unit = _to_unit(field)[..., None]
    dark, bright = (draw.uniform(0, 255, 3) for _ in range(2))
    if draw.random() < 0.6:
        dark, bright = np.full(3, draw.uniform(0, 255)), np.full(3, draw.uniform(0, 255))
    return Image.fromarray((dark + (bright - dark) * unit).astype(np.uint8))
