"""Procedural surfaces with and without blemishes, as factories show them and photographs of the world do not."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

GreyField = npt.NDArray[np.float32]
"""A square field, (side, side), about [0, 1]."""

_MIN_BLEMISHES, _MAX_BLEMISHES = 1, 4


def _to_unit_range(field: npt.NDArray[np.floating]) -> GreyField:
    low, high = np.percentile(field, (1, 99))
    unit: GreyField = np.clip((field - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return unit


def noise(generator: np.random.Generator, side: int) -> GreyField:
    """Return noise with a 1/f^a spectrum, stretched along one direction: rust, cast metal, cloth, brushed steel."""
    rows = np.fft.fftfreq(side)[:, None]
    columns = np.fft.rfftfreq(side)[None]
    angle, stretch = generator.uniform(0, np.pi), np.exp(generator.uniform(0, 2.5))
    along = np.cos(angle) * rows + np.sin(angle) * columns
    across = np.cos(angle) * columns - np.sin(angle) * rows
    radius = np.sqrt((along * stretch) ** 2 + across**2) + 1 / side
    spectrum = np.fft.rfft2(generator.standard_normal((side, side))) * radius ** -generator.uniform(0.3, 2.2)
    return _to_unit_range(np.fft.irfft2(spectrum, s=(side, side)))


def _rotated_axes(generator: np.random.Generator, side: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    angle = generator.choice([0.0, np.pi / 2, generator.uniform(0, np.pi)])
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    return np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows


def stripes(generator: np.random.Generator, side: int) -> GreyField:
    """Return parallel stripes of one period, soft or sharp: grooves, bus bars, a weave where they cross."""
    along, across = _rotated_axes(generator, side)
    period, sharpness = generator.uniform(6, side / 2), np.exp(generator.uniform(-0.5, 3))
    phase = generator.uniform(0, 2 * np.pi)
    field = np.tanh(sharpness * (np.cos(2 * np.pi * along / period + phase) + generator.uniform(-0.9, 0.9)))
    if generator.random() < 0.5:
        other = period * generator.choice([1.0, generator.uniform(0.3, 3)])
        field = field + generator.uniform(0.3, 1) * np.tanh(sharpness * np.cos(2 * np.pi * across / other))
    return _to_unit_range(field)


def voronoi_cells(generator: np.random.Generator, side: int) -> GreyField:
    """Return Voronoi cells around random points, flat or shaded to their borders: crystals, stone, leather."""
    count = int(generator.integers(5, 60))
    points = generator.uniform(0, side, (count, 2)).astype(np.float32)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    squared = (rows[None] - points[:, 0, None, None]) ** 2 + (columns[None] - points[:, 1, None, None]) ** 2
    nearest = np.partition(squared, 1, axis=0)[:2]
    if generator.random() < 0.5:
        return _to_unit_range(generator.random(count)[np.argmin(squared, axis=0)])
    return _to_unit_range(np.minimum(np.sqrt(nearest[1]) - np.sqrt(nearest[0]), generator.uniform(3, 40)))


def repeated_motif(generator: np.random.Generator, side: int) -> GreyField:
    """Return one motif repeated in rows and columns: pins, pads, holes, tablets in a blister."""
    across, down = int(generator.integers(1, 9)), int(generator.integers(1, 9))
    image = Image.new("L", (side, side), int(generator.integers(0, 256)))
    draw = ImageDraw.Draw(image)
    width, height = side / across, side / down
    left, top = generator.uniform(0.05, 0.4, 2)
    shape, fill, inner = generator.random() < 0.5, int(generator.integers(0, 256)), int(generator.integers(0, 256))
    for row in range(down):
        for column in range(across):
            box = [(column + left) * width, (row + top) * height, (column + 1 - left) * width, (row + 1 - top) * height]
            (draw.ellipse if shape else draw.rectangle)(box, fill=fill, outline=inner)
            if generator.random() < 0.9:
                x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                draw.ellipse([x - width / 9, y - height / 9, x + width / 9, y + height / 9], fill=inner)
    return np.asarray(image, np.float32) / np.float32(255)


def smooth_shading(generator: np.random.Generator, side: int) -> GreyField:
    """Return a smooth shading: an empty surface under one lamp."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    bend = generator.uniform(-1, 1, 5)
    return _to_unit_range(
        bend[0] * rows + bend[1] * columns + bend[2] * rows**2 + bend[3] * columns**2 + bend[4] * rows * columns
    )


_FIELDS = (noise, noise, stripes, voronoi_cells, repeated_motif, smooth_shading)


def random_path(
    generator: np.random.Generator,
    start: tuple[float, float],
    side: int,
    *,
    max_bend: float,
    min_step: float,
    max_segments: int,
) -> list[tuple[float, float]]:
    """Return the points of a bent line from `start`, in pixels.

    Args:
        generator: The source of randomness.
        start: The first point.
        side: The shorter side of the image, in pixels.
        max_bend: The largest standard deviation of the change of direction at a point, in radians.
        min_step: The shortest segment, as a fraction of `side`; the longest is 0.06.
        max_segments: The most segments; the fewest are 3.
    """
    heading, bend = generator.uniform(0, 2 * np.pi), generator.uniform(0, max_bend)
    step = generator.uniform(min_step, 0.06) * side
    path = [start]
    x, y = start
    for _ in range(int(generator.integers(3, max_segments + 1))):
        heading += generator.normal(0, bend)
        x, y = x + step * np.cos(heading), y + step * np.sin(heading)
        path.append((x, y))
    return path


def add_blemishes(generator: np.random.Generator, image: Image.Image) -> Image.Image:
    """Return a copy of an image with scratches, cracks, stains or dents."""
    blemished = image.copy()
    side = min(image.size)
    for _ in range(int(generator.integers(_MIN_BLEMISHES, _MAX_BLEMISHES + 1))):
        layer = Image.new("L", image.size, 0)
        draw = ImageDraw.Draw(layer)
        x, y = generator.uniform(0, image.size[0]), generator.uniform(0, image.size[1])
        if generator.random() < 0.6:
            path = random_path(generator, (x, y), side, max_bend=0.6, min_step=0.01, max_segments=14)
            draw.line(path, fill=255, width=int(generator.integers(1, 5)))
        else:
            across, down = np.exp(generator.uniform(np.log(0.01), np.log(0.15), 2)) * side
            draw.ellipse([x - across, y - down, x + across, y + down], fill=255)
        soft = layer.filter(ImageFilter.GaussianBlur(float(generator.uniform(0, 2))))
        strength = generator.uniform(0.15, 1)
        colour = (
            tuple(int(c) for c in generator.integers(0, 256, 3))
            if generator.random() < 0.3
            else (int(generator.integers(0, 256)),) * 3
        )
        blemished.paste(colour, (0, 0), soft.point([int(v * strength) for v in range(256)]))
    return blemished


def synthesise_surface(generator: np.random.Generator, side: int) -> Image.Image:
    """Return a surface, (side, side), RGB: a sum of one to three fields, coloured from one tone to another."""
    field = np.zeros((side, side), np.float32)
    for _ in range(int(generator.integers(1, 4))):
        field += generator.uniform(0.2, 1) * _FIELDS[generator.integers(len(_FIELDS))](generator, side)
    unit = _to_unit_range(field)[..., None]
    dark, bright = (generator.uniform(0, 255, 3) for _ in range(2))
    if generator.random() < 0.6:
        dark, bright = np.full(3, generator.uniform(0, 255)), np.full(3, generator.uniform(0, 255))
    return Image.fromarray((dark + (bright - dark) * unit).astype(np.uint8))
