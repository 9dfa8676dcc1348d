"""Batches of any size on a network that takes only some sizes: split, padded, and cut to size again."""

from collections.abc import Sequence

import torch

from scorer.engines.protocol import Forward


def split_batch(images: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Split a batch into chunks, largest first: (images, size) of each; `sizes` rise and begin with 1.

    A remainder goes into the smallest size that holds it.
    """
    chunks, remaining = [], images
    while remaining > 0:
        size = next((size for size in sizes if size >= remaining), sizes[-1])
        chunks.append((min(remaining, size), size))
        remaining -= size
    return chunks


def with_fixed_batches(forward: Forward, sizes: Sequence[int]) -> Forward:
    """Return a `Forward` for any batch size that calls `forward` with one of `sizes` images only."""

    def forward_any(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs, first = [], 0
        for count, size in split_batch(len(images), sizes):
            chunk = images[first : first + count]
            if count < size:  # the last image fills the chunk; its extra outputs are dropped
                chunk = torch.cat([chunk, chunk[-1:].expand(size - count, -1, -1, -1)])
            outputs.append([output[:count] for output in forward(chunk)])
            first += count
        return tuple(torch.cat(layer) for layer in zip(*outputs, strict=True))

    return forward_any
