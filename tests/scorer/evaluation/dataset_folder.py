"""A small dataset in MVTec AD layout, with masks."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from testing.line import part

SIZE = (64, 80)


def write_dataset(folder: Path, pool: int = 6, good: int = 5, bad: int = 4, masks: bool = True) -> Path:
    """Write striped parts; a defect is a dark blot in the middle, and its mask is the blot."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    blot = ((rows - SIZE[0] / 2) ** 2 + (columns - SIZE[1] / 2) ** 2) < 100
    for number in range(pool):
        _write(folder / "train" / "good" / f"{number:03}.png", part(number, size=SIZE))
    for number in range(good):
        _write(folder / "test" / "good" / f"{number:03}.png", part(100 + number, size=SIZE))
    for number in range(bad):
        _write(folder / "test" / "blot" / f"{number:03}.png", part(200 + number, defect=True, size=SIZE))
        if masks:
            _write(folder / "ground_truth" / "blot" / f"{number:03}_mask.png", 255 * blot.astype(np.uint8))
    return folder


def _write(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
