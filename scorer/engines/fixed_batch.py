"""Batches of any size on a network that takes only some: split, filled up, and cut to size again."""

from collections.abc import Sequence

import torch

from scorer.engines.protocol import Forward


def split_batch(pictures: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """(pictures, size) of each part, largest first; sizes rise, and 1 is the first of them.

    A rest goes into the smallest size that holds it.
    """
    parts, left = [], pictures
    while left > 0:
        size = next((one for one in sizes if one >= left), sizes[-1])
        parts.append((min(left, size), size))
        left -= size
    return parts


def with_fixed_batches(encode: Forward, sizes: Sequence[int]) -> Forward:
    """`encode`, which is only ever called with one of `sizes` pictures; what fills a part up is thrown away again."""

    def of_any_size(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answers, first = [], 0
        for some, size in split_batch(len(pictures), sizes):
            part = pictures[first : first + some]
            if some < size:
                part = torch.cat([part, part[-1:].expand(size - some, -1, -1, -1)])
            answers.append([answer[:some] for answer in encode(part)])
            first += some
        return tuple(torch.cat(layer) for layer in zip(*answers, strict=True))

    return of_any_size
