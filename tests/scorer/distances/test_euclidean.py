"""The nearest neighbour by Euclidean distance."""

import pytest
import torch

from scorer.distances import euclidean


def test_the_nearest_is_found_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    queries, kept = torch.randn(50, 7, generator=draw), torch.randn(20, 7, generator=draw)
    by_hand = torch.tensor([[((query - one) ** 2).sum() ** 0.5 for one in kept] for query in queries])
    monkeypatch.setattr(euclidean, "MAX_PRODUCTS", 60)
    distances, places = euclidean.nearest_euclidean(queries, kept)
    assert torch.equal(places, by_hand.argmin(dim=1))
    torch.testing.assert_close(distances, by_hand.amin(dim=1))


def test_a_distance_far_from_the_origin_is_not_lost_in_rounding() -> None:
    kept = torch.tensor([[1e4, 0.0], [1e4, 1.0]])
    distances, places = euclidean.nearest_euclidean(torch.tensor([[1e4, 0.01], [1e4, 0.9]]), kept)
    assert places.tolist() == [0, 1]
    torch.testing.assert_close(distances, torch.tensor([0.01, 0.1]))


def test_joined_layers_stand_side_by_side() -> None:
    tokens = torch.arange(12.0).view(2, 1, 3, 2)  # (L, B, P, W)
    assert euclidean.concat_layers(tokens)[0, 1].tolist() == [2, 3, 8, 9]


def test_a_layer_is_used_up_to_its_last_channel_that_ever_answers() -> None:
    tokens = torch.zeros(3, 2, 4, 5)
    tokens[0, 1, 2, 3] = 1
    tokens[1, :, :, 4] = 1
    assert euclidean.used_channels(tokens) == [4, 5, 5]  # of a layer that is 0 throughout, all channels are used
