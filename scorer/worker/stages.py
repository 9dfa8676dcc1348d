"""Batches on their way through stages: each stage has threads of its own, so they overlap, and order holds.

A batch enters where there is room, and comes out in the order in which it entered, done or failed. What entered after a
batch that failed is given up unfinished: later frames of a station never get ahead of earlier ones.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from scorer import metrics


class BatchAbandoned(Exception):
    """A batch before this one failed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the way: takes what the stage before gave; so many batches may be in it at once."""

    name: str
    work: Callable[[Any], Any]
    at_once: int = 1


class StagePipeline:
    """Used from one thread, which enters batches and takes them out; `most` batches are under way at once."""

    def __init__(self, stages: Sequence[Stage], most: int) -> None:
        self._stages = [(stage, ThreadPoolExecutor(stage.at_once, thread_name_prefix=stage.name)) for stage in stages]
        self._most = most
        self._under_way: deque[Future[Any]] = deque()
        self._entered = 0
        self._failed: int | None = None
        self._sizes = {stage.name: metrics.STAGE_FRAMES.labels(stage.name) for stage in stages}

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def has_room(self) -> bool:
        """Whether another batch may enter."""
        return len(self._under_way) < self._most

    def enter(self, batch: Any, frames: int) -> None:
        """Send a batch on its way; `frames` is what it counts for in the metrics of the stages' queues."""
        self._entered += 1
        before: Future[Any] = Future()
        before.set_result(batch)
        for stage, thread in self._stages:
            self._sizes[stage.name].inc(frames)
            before = thread.submit(self._step, stage, before, self._entered, frames)
        self._under_way.append(before)

    def wait(self, seconds: float) -> None:
        """Until the first batch under way is done or failed, at most so long."""
        if self._under_way:
            wait([self._under_way[0]], seconds)

    def take(self) -> Future[Any] | None:
        """The first batch under way, once it is done or failed; what it raised is for the caller to see."""
        if self._under_way and self._under_way[0].done():
            return self._under_way.popleft()
        return None

    def give_up(self) -> None:
        """Let what is still under way end without finishing; then batches may enter anew."""
        self._failed = self._failed or 0
        wait(self._under_way)
        self._under_way.clear()
        self._failed = None

    def close(self) -> None:
        """Give up, and end the threads."""
        self.give_up()
        for _, thread in self._stages:
            thread.shutdown()

    def _step(self, stage: Stage, before: "Future[Any]", number: int, frames: int) -> Any:
        try:
            given = before.result()
            if self._failed is not None and number > self._failed:
                raise BatchAbandoned
            with metrics.STAGE_SECONDS.labels(stage.name).time():
                return stage.work(given)
        except BaseException:
            if self._failed is None or number < self._failed:
                self._failed = number
            raise
        finally:
            self._sizes[stage.name].dec(frames)
