"""Work shared out among threads."""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(work: Sequence[T], at_once: int, threads: int) -> Iterator[Sequence[T]]:
    """Into parts of at most `at_once`, and so small that every thread has one."""
    size = max(1, min(at_once, math.ceil(len(work) / threads)))
    for first in range(0, len(work), size):
        yield work[first : first + size]
