"""The nearest neighbour by Euclidean distance."""

import pytest
import torch

from scorer.distances import euclidean


def test_chunking_does_not_change_the_nearest_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, normals = torch.randn(50, 7, generator=generator), torch.randn(20, 7, generator=generator)
    by_hand = torch.tensor([[((query - normal) ** 2).sum() ** 0.5 for normal in normals] for query in queries])
    monkeypatch.setattr(euclidean, "MAX_PRODUCTS", 60)
    distances, indices = euclidean.nearest_euclidean(queries, normals)
    assert torch.equal(indices, by_hand.argmin(dim=1))
    torch.testing.assert_close(distances, by_hand.amin(dim=1))


def test_distances_far_from_the_origin_are_accurate() -> None:
    normals = torch.tensor([[1e4, 0.0], [1e4, 1.0]])
    distances, indices = euclidean.nearest_euclidean(torch.tensor([[1e4, 0.01], [1e4, 0.9]]), normals)
    assert indices.tolist() == [0, 1]
    torch.testing.assert_close(distances, torch.tensor([0.01, 0.1]))


def test_layers_are_concatenated() -> None:
    tokens = torch.arange(12.0).view(2, 1, 3, 2)  # (L, B, P, W)
    assert euclidean.concat_layers(tokens)[0, 1].tolist() == [2, 3, 8, 9]


def test_trailing_zero_channels_are_unused() -> None:
    tokens = torch.zeros(3, 2, 4, 5)
    tokens[0, 1, 2, 3] = 1
    tokens[1, :, :, 4] = 1
    assert euclidean.used_channels(tokens) == [4, 5, 5]  # of a layer that is 0 throughout, all channels are used
