"""Patch residuals: how far each patch token lies from the nearest patch token of the normals."""

import torch
from torch.nn import functional

MAX_COSINES = 1 << 22
"""Most cosines held at once (16 MiB of float32); more tokens go in parts, which changes no value."""


def to_unit_length(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens at length one along their last axis, float32; a zero token stays zero."""
    return functional.normalize(tokens.float(), dim=-1)


def nearest_residual(queries: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """½(1 − cos) between each query token and its nearest normal token, mean over layers.

    queries (L, B, P, W) and normals (L, M, W), both of unit length; returns (B, P), 0 (same direction) to 1 (opposite).
    """
    layers, batch, patches, width = queries.shape
    residuals = torch.zeros(batch * patches, dtype=queries.dtype, device=queries.device)
    for layer in range(layers):
        residuals += 0.5 * (1 - _closest(queries[layer].reshape(-1, width), normals[layer]))
    return (residuals / layers).view(batch, patches)


def leave_one_out_residual(tokens: torch.Tensor) -> torch.Tensor:
    """`nearest` of each image's tokens among those of all other images.

    tokens (L, K, P, W) of unit length, K ≥ 2; returns (K, P). Each pair of images is multiplied once, for both sides.
    """
    layers, images, patches, width = tokens.shape
    residuals = torch.zeros(images, patches, dtype=tokens.dtype, device=tokens.device)
    for layer in tokens:
        closest = torch.full_like(residuals, -torch.inf)
        for image in range(images - 1):
            for first, others in _in_parts(layer, image + 1, most=max(1, MAX_COSINES // patches**2)):
                cosines = layer[image] @ others.reshape(-1, width).T
                last = first + len(others)
                closest[image] = torch.maximum(closest[image], cosines.amax(dim=1))
                closest[first:last] = torch.maximum(closest[first:last], cosines.amax(dim=0).view(-1, patches))
        residuals += 0.5 * (1 - closest)
    return residuals / layers


def leave_one_out_coreset_residual(tokens: torch.Tensor, kept: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    """`nearest` of each image's tokens among the kept tokens of all other images.

    tokens (L, K, P, W), kept (L, M, W), owners (L, M): the image a kept token is of; returns (K, P). More tokens must
    be kept than one image has, so that every image finds others.
    """
    layers, images, patches, _ = tokens.shape
    residuals = torch.zeros(images, patches, dtype=tokens.dtype, device=tokens.device)
    for layer in range(layers):
        for image in range(images):
            others = kept[layer][owners[layer] != image]
            residuals[image] += 0.5 * (1 - _closest(tokens[layer, image], others))
    return residuals / layers


def greedy_coreset(tokens: torch.Tensor, size: int) -> torch.Tensor:
    """Greedy k-centre choice: each next token is the one farthest from those chosen (PatchCore, arXiv 2106.08265).

    tokens (N, W); returns `size` indices. The first is the token farthest from the mean, and wide tokens are compared
    after a seeded random projection, so equal tokens give an equal choice.
    """
    points = _projected(tokens)
    lengths = points.square().sum(dim=1)
    gaps = torch.full_like(lengths, torch.inf)
    chosen = torch.empty(size, dtype=torch.long, device=tokens.device)
    farthest = (points - points.mean(dim=0)).square().sum(dim=1).argmax()
    for place in range(size):
        chosen[place] = farthest
        to_newest = lengths + lengths[farthest] - 2 * (points @ points[farthest])
        gaps = torch.minimum(gaps, to_newest)
        gaps[farthest] = -torch.inf
        farthest = gaps.argmax()
    return chosen


def _closest(queries: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """The largest cosine of each of (N, W) with any of (M, W): (N,)."""
    rows = max(1, MAX_COSINES // max(1, len(normals)))
    return torch.cat([(part @ normals.T).amax(dim=1) for part in torch.split(queries, rows)])


def _in_parts(layer: torch.Tensor, start: int, most: int) -> list[tuple[int, torch.Tensor]]:
    return [(first, layer[first : first + most]) for first in range(start, len(layer), most)]


def _projected(tokens: torch.Tensor, width: int = 128) -> torch.Tensor:
    if tokens.shape[1] <= width:
        return tokens.float()
    seeded = torch.Generator().manual_seed(0)
    directions = torch.randn(tokens.shape[1], width, generator=seeded) / width**0.5
    projected: torch.Tensor = tokens.float() @ directions.to(tokens.device)
    return projected
