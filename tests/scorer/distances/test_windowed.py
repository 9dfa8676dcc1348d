"""The window search against a comparison of every pair of patches."""

import itertools
import math

import pytest
import torch
from torch.nn.functional import normalize

from scorer.distances import windowed
from scorer.distances.windowed import GridPatches, nearest_in_window

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, COLUMNS, WIDTH = 7, 6, 5


def draw(seed: int, *shape: int) -> torch.Tensor:
    return normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def one_by_one(window: int, picture: torch.Tensor, kept: GridPatches) -> torch.Tensor:
    largest = torch.full(picture.shape[:2], -math.inf)
    rows, normals, columns, _ = kept.patches.shape
    for row, column in itertools.product(range(ROWS), range(COLUMNS)):
        for r, k, c in itertools.product(range(rows), range(normals), range(columns)):
            near = abs(kept.top + r - row) <= window and abs(kept.left + c - column) <= window
            if near and (kept.hidden is None or not kept.hidden[r, k, c]):
                largest[row, column] = max(largest[row, column], picture[row, column] @ kept.patches[r, k, c])
    return largest - 1


@pytest.mark.parametrize("at_once", [1, 200, 1000, 1 << 19])
@pytest.mark.parametrize("window", [1, 2, 8])
@pytest.mark.parametrize(("top", "left", "rows", "columns"), [(0, 0, ROWS, COLUMNS), (2, 0, 3, 6), (1, 2, 5, 3)])
def test_each_patch_finds_the_largest_cosine_in_its_window(
    monkeypatch: pytest.MonkeyPatch, at_once: int, window: int, top: int, left: int, rows: int, columns: int
) -> None:
    monkeypatch.setattr(windowed, "MAX_PRODUCTS", at_once)
    stations = [GridPatches(draw(seed, rows, 2, columns, WIDTH), None, top, left) for seed in range(3)]
    stations[1] = GridPatches(stations[1].patches, draw(9, rows, 2, columns) > 0.5, top, left)
    counts = (1, 1, 3)
    pictures = draw(10, sum(counts), ROWS, COLUMNS, WIDTH)

    found = nearest_in_window(window, pictures, list(zip(counts, stations, strict=True)))

    of_pictures = [station for station, count in zip(stations, counts, strict=True) for _ in range(count)]
    by_hand = [one_by_one(window, picture, kept) for picture, kept in zip(pictures, of_pictures, strict=True)]
    torch.testing.assert_close(found, torch.stack(by_hand), atol=1e-5, rtol=0)


def test_what_lies_outside_the_normals_window_has_no_neighbour() -> None:
    kept = GridPatches(draw(1, 1, 2, COLUMNS, WIDTH), None, top=0, left=0)
    found = nearest_in_window(2, draw(2, 1, ROWS, COLUMNS, WIDTH), [(1, kept)])
    assert found[0].isinf().all(dim=1).tolist() == [False, False, False, True, True, True, True]


def test_in_bf16_a_distance_keeps_its_digits() -> None:
    """A cosine of 0.93 alone would be rounded to a multiple of 1/256, and with it the distance by up to a fortieth."""
    patches = draw(1, ROWS, 1, COLUMNS, 256)
    picture = normalize(patches + 0.4 * draw(2, *patches.shape), dim=-1).squeeze(1)[None]
    exact = nearest_in_window(1, picture, [(1, GridPatches(patches, None, 0, 0))])
    assert exact.amin() > -0.1
    assert exact.amax() < -0.05

    rounded = nearest_in_window(1, picture.bfloat16(), [(1, GridPatches(patches.bfloat16(), None, 0, 0))])

    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0)
