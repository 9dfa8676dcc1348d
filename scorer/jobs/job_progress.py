"""How a job that takes long says how far it is, between small chunks of frames."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

CHUNK_FRAMES = 8
"""Frames that are scored between two progress reports."""

ReportProgress = Callable[[int, int], None]
"""Gets the frames done and their total; raises `JobCancelled` where the job is no longer wanted."""


def chunks_with_progress(frames: Sequence[T], report: ReportProgress, before: int, total: int) -> Iterator[Sequence[T]]:
    """Yield frames in chunks, and report after each chunk that it and the `before` frames of earlier steps are done."""
    for first in range(0, len(frames), CHUNK_FRAMES):
        chunk = frames[first : first + CHUNK_FRAMES]
        yield chunk
        report(min(total, before + first + len(chunk)), total)
