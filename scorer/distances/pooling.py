"""From the distances of patches to the score of an image."""

import torch


def mean_of_largest(distances: torch.Tensor, fraction: float) -> torch.Tensor:
    """Return the mean of the largest `fraction` of (N,) distances, of one at least: a scalar."""
    return distances.topk(max(1, round(len(distances) * fraction))).values.mean()


def mean_of_largest_per_image(maps: torch.Tensor, valid_mask: torch.Tensor, fraction: float) -> torch.Tensor:
    """Return `mean_of_largest` of each image's valid patches; maps and mask are (B, P), the result is (B,)."""
    counts = [max(1, round(number * fraction)) for number in valid_mask.sum(dim=1).tolist()]
    largest = maps.masked_fill(~valid_mask, -torch.inf).topk(max(counts), dim=1).values
    if len(set(counts)) == 1:
        return largest.mean(dim=1)
    return torch.stack([values[:count].mean() for values, count in zip(largest, counts, strict=True)])
