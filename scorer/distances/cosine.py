"""Cosine residuals: the cosine distance of each patch token to the nearest patch token of the normals."""

import torch
from torch.nn import functional

MAX_COSINES = 1 << 22
"""Most cosines held in memory at once (16 MiB of float32); more are computed in chunks, which changes no value."""


def to_unit_length(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens at length one along their last axis, float32; a zero token stays zero."""
    return functional.normalize(tokens.float(), dim=-1)


def nearest_residual(queries: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Return ½ (1 − cos) between each query token and its nearest normal token, averaged over layers.

    Args:
        queries: (L, B, P, D) at unit length.
        normals: (L, M, D) at unit length.

    Returns:
        (B, P), from 0, the same direction, to 1, the opposite one.
    """
    layers, batch, patches, width = queries.shape
    residuals = torch.zeros(batch * patches, dtype=queries.dtype, device=queries.device)
    for layer in range(layers):
        residuals += 0.5 * (1 - _largest_cosine(queries[layer].reshape(-1, width), normals[layer]))
    return (residuals / layers).view(batch, patches)


def leave_one_out_residual(tokens: torch.Tensor) -> torch.Tensor:
    """Return `nearest_residual` of each image's tokens to those of all other images.

    Each pair of images is multiplied once and serves both.

    Args:
        tokens: (L, K, P, D) at unit length, K ≥ 2.

    Returns:
        (K, P).
    """
    layers, images, patches, width = tokens.shape
    chunk_images = max(1, MAX_COSINES // patches**2)
    residuals = torch.zeros(images, patches, dtype=tokens.dtype, device=tokens.device)
    for layer in tokens:
        closest = torch.full_like(residuals, -torch.inf)
        for image in range(images - 1):
            for first in range(image + 1, images, chunk_images):
                others = layer[first : first + chunk_images]
                cosines = layer[image] @ others.reshape(-1, width).T  # (P, others · P)
                last = first + len(others)
                closest[image] = torch.maximum(closest[image], cosines.amax(dim=1))
                closest[first:last] = torch.maximum(closest[first:last], cosines.amax(dim=0).view(-1, patches))
        residuals += 0.5 * (1 - closest)
    return residuals / layers


def leave_one_out_coreset_residual(tokens: torch.Tensor, coreset: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    """Return `nearest_residual` of each image's tokens to the coreset's tokens of all other images.

    Args:
        tokens: (L, K, P, D) at unit length.
        coreset: (L, M, D) at unit length, with M > P, so that every image finds tokens of others.
        owners: The image that each coreset token is of, (L, M).

    Returns:
        (K, P).
    """
    layers, images, patches, _ = tokens.shape
    residuals = torch.zeros(images, patches, dtype=tokens.dtype, device=tokens.device)
    for layer in range(layers):
        for image in range(images):
            others = coreset[layer][owners[layer] != image]
            residuals[image] += 0.5 * (1 - _largest_cosine(tokens[layer, image], others))
    return residuals / layers


def _largest_cosine(queries: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Return the largest cosine of each of (N, D) with any of (M, D): (N,)."""
    rows = max(1, MAX_COSINES // max(1, len(normals)))
    return torch.cat([(chunk @ normals.T).amax(dim=1) for chunk in torch.split(queries, rows)])
