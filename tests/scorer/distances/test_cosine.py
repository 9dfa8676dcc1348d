import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.distances import cosine
from scorer.distances.coreset import greedy_coreset

pytestmark = pytest.mark.usefixtures("one_thread")


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return cosine.to_unit_length(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def by_loops(queries: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    layers, batch, patches, _ = queries.shape
    found = torch.zeros(batch, patches)
    for image in range(batch):
        for patch in range(patches):
            distances = [
                min(float(0.5 * (1 - queries[layer, image, patch] @ normal)) for normal in normals[layer])
                for layer in range(layers)
            ]
            found[image, patch] = sum(distances) / layers
    return found


def test_the_residual_is_half_of_one_minus_the_largest_cosine() -> None:
    normals = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    queries = torch.tensor([[[[0.0, 1.0], [-(0.5**0.5), -(0.5**0.5)], [0.6, 0.8]]]])
    expected = torch.tensor([[0.0, 0.5 * (1 + 0.5**0.5), 0.1]])
    torch.testing.assert_close(cosine.nearest_residual(queries, normals), expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(0, 1000))
def test_the_residual_equals_loops_over_patches(layers: int, batch: int, patches: int, many: int, seed: int) -> None:
    queries, normals = tokens(layers, batch, patches, 6, seed=seed), tokens(layers, many, 6, seed=seed + 1)
    torch.testing.assert_close(cosine.nearest_residual(queries, normals), by_loops(queries, normals), atol=1e-6, rtol=0)


def test_chunking_does_not_change_residuals(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, normals, images = tokens(2, 5, 7, 8), tokens(2, 11, 8, seed=1), tokens(3, 6, 4, 8, seed=2)
    whole, others = cosine.nearest_residual(queries, normals), cosine.leave_one_out_residual(images)
    monkeypatch.setattr(cosine, "MAX_COSINES", 20)
    torch.testing.assert_close(cosine.nearest_residual(queries, normals), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(cosine.leave_one_out_residual(images), others, atol=1e-6, rtol=0)


def test_leave_one_out_compares_each_image_with_all_others() -> None:
    images = tokens(3, 5, 4, 8)
    expected = [
        cosine.nearest_residual(images[:, [image]], images[:, [i for i in range(5) if i != image]].flatten(1, 2))[0]
        for image in range(5)
    ]
    torch.testing.assert_close(cosine.leave_one_out_residual(images), torch.stack(expected), atol=1e-6, rtol=0)


def test_the_coreset_residual_of_all_tokens_equals_the_full_residual() -> None:
    images = tokens(2, 4, 3, 8)
    owners = torch.arange(4).repeat_interleave(3).expand(2, -1)
    found = cosine.leave_one_out_coreset_residual(images, images.flatten(1, 2), owners)
    torch.testing.assert_close(found, cosine.leave_one_out_residual(images), atol=1e-6, rtol=0)


def test_a_coreset_selects_from_every_cluster_first() -> None:
    centres = 10 * torch.eye(4, 300)
    clusters = torch.arange(4).repeat(25)
    points = centres[clusters] + 0.01 * torch.randn(100, 300, generator=torch.Generator().manual_seed(0))
    assert sorted(clusters[greedy_coreset(points, 4)].tolist()) == [0, 1, 2, 3]


def test_a_coreset_of_full_size_contains_every_token_once() -> None:
    assert sorted(greedy_coreset(tokens(9, 5), 9).tolist()) == list(range(9))


def test_a_coreset_of_equal_tokens_contains_none_twice() -> None:
    assert len(set(greedy_coreset(torch.ones(6, 5), 4).tolist())) == 4
