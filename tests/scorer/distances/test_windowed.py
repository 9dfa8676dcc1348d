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


def random_unit_vectors(seed: int, *shape: int) -> torch.Tensor:
    return normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def search_by_loops(window: int, query: torch.Tensor, references: GridPatches) -> torch.Tensor:
    largest = torch.full(query.shape[:2], -math.inf)
    rows, normals, columns, _ = references.patches.shape
    for row, column in itertools.product(range(ROWS), range(COLUMNS)):
        for r, k, c in itertools.product(range(rows), range(normals), range(columns)):
            near = abs(references.top + r - row) <= window and abs(references.left + c - column) <= window
            if near and (references.hidden is None or not references.hidden[r, k, c]):
                largest[row, column] = max(largest[row, column], query[row, column] @ references.patches[r, k, c])
    return largest - 1


@pytest.mark.parametrize("max_products", [1, 200, 1000, 1 << 19])
@pytest.mark.parametrize("window", [1, 2, 8])
@pytest.mark.parametrize(("top", "left", "rows", "columns"), [(0, 0, ROWS, COLUMNS), (2, 0, 3, 6), (1, 2, 5, 3)])
def test_the_largest_cosine_in_the_window_is_found(
    monkeypatch: pytest.MonkeyPatch, max_products: int, window: int, top: int, left: int, rows: int, columns: int
) -> None:
    monkeypatch.setattr(windowed, "MAX_PRODUCTS", max_products)
    stations = [GridPatches(random_unit_vectors(seed, rows, 2, columns, WIDTH), None, top, left) for seed in range(3)]
    stations[1] = GridPatches(stations[1].patches, random_unit_vectors(9, rows, 2, columns) > 0.5, top, left)
    counts = (1, 1, 3)
    queries = random_unit_vectors(10, sum(counts), ROWS, COLUMNS, WIDTH)

    found = nearest_in_window(window, queries, list(zip(counts, stations, strict=True)))

    normals_of_queries = [station for station, count in zip(stations, counts, strict=True) for _ in range(count)]
    by_hand = [
        search_by_loops(window, query, references)
        for query, references in zip(queries, normals_of_queries, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(by_hand), atol=1e-5, rtol=0)


def test_patches_without_normals_in_the_window_have_no_neighbour() -> None:
    references = GridPatches(random_unit_vectors(1, 1, 2, COLUMNS, WIDTH), None, top=0, left=0)
    found = nearest_in_window(2, random_unit_vectors(2, 1, ROWS, COLUMNS, WIDTH), [(1, references)])
    assert found[0].isinf().all(dim=1).tolist() == [False, False, False, True, True, True, True]


def test_distances_in_bf16_keep_their_precision() -> None:
    """A cosine of 0.93 alone would be rounded to a multiple of 1/256, and with it the distance by up to a fortieth."""
    patches = random_unit_vectors(1, ROWS, 1, COLUMNS, 256)
    query = normalize(patches + 0.4 * random_unit_vectors(2, *patches.shape), dim=-1).squeeze(1)[None]
    exact = nearest_in_window(1, query, [(1, GridPatches(patches, None, 0, 0))])
    assert exact.amin() > -0.1
    assert exact.amax() < -0.05

    rounded = nearest_in_window(1, query.bfloat16(), [(1, GridPatches(patches.bfloat16(), None, 0, 0))])

    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0)
