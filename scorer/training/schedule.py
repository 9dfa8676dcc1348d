"""The learning-rate schedule that all trainers share."""

import math


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Return the factor of the full learning rate: a linear warm-up, then half a cosine down to 0.01.

    Args:
        progress: The fraction of the training that is over, from 0.
        warmup: The fraction of the training in which the rate rises.
    """
    if progress < warmup:
        return max(progress / warmup, 0.01)
    decayed = min(1.0, (progress - warmup) / (1 - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * decayed))
