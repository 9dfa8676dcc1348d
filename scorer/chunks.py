"""Split work among threads."""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(work: Sequence[T], max_size: int, threads: int) -> Iterator[Sequence[T]]:
    """Split work into consecutive chunks of at most `max_size`, small enough that every thread gets one."""
    size = max(1, min(max_size, math.ceil(len(work) / threads)))
    for first in range(0, len(work), size):
        yield work[first : first + size]
