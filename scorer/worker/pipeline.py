"""Batches in flight through stages: each stage has threads of its own, so stages overlap, and order holds.

Batches leave in the order in which they entered, done or failed. Batches that entered after one that failed are
abandoned unfinished: later frames of a station never overtake earlier ones.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from scorer import metrics

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class BatchAbandoned(Exception):
    """A batch that entered before this one failed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: `work` takes the result of the stage before; up to `threads` batches may be in it at once."""

    name: str
    work: Callable[[Any], Any]
    threads: int = 1


class StagePipeline(Generic[Batch, Result]):
    """Up to `max_in_flight` batches in flight; used from one thread, which enters batches and takes them out."""

    def __init__(self, stages: Sequence[Stage], max_in_flight: int) -> None:
        """Chain stages, of which the first takes a `Batch` and the last returns a `Result`."""
        self._stages = [(stage, ThreadPoolExecutor(stage.threads, thread_name_prefix=stage.name)) for stage in stages]
        self._max_in_flight = max_in_flight
        self._in_flight: deque[tuple[Batch, Future[Result]]] = deque()
        self._entered = 0
        self._first_failed: int | None = None
        self._queued_frames = {stage.name: metrics.STAGE_FRAMES.labels(stage.name) for stage in stages}

    @property
    def in_flight(self) -> list[Batch]:
        """The batches that entered and were not taken yet, the oldest first."""
        return [batch for batch, _ in self._in_flight]

    @property
    def is_full(self) -> bool:
        """Whether no other batch may enter."""
        return len(self._in_flight) >= self._max_in_flight

    def enter(self, batch: Batch, frames: int) -> None:
        """Send a batch through the stages; `frames` is what it adds to the metric of frames in a stage."""
        self._entered += 1
        result: Future[Any] = Future()
        result.set_result(batch)
        for stage, pool in self._stages:
            self._queued_frames[stage.name].inc(frames)
            result = pool.submit(self._run, stage, result, self._entered, frames)
        self._in_flight.append((batch, result))

    def wait(self, timeout_s: float) -> None:
        """Wait until the oldest batch in flight is done or failed, or for `timeout_s`."""
        if self._in_flight:
            wait([self._in_flight[0][1]], timeout_s)

    def take(self) -> "tuple[Batch, Future[Result]] | None":
        """Return the oldest batch in flight and its result, which may be an exception; None while it is unfinished."""
        if self._in_flight and self._in_flight[0][1].done():
            return self._in_flight.popleft()
        return None

    def abandon(self) -> None:
        """Abandon the batches in flight and wait until their stages end; then batches may enter again."""
        self._first_failed = self._first_failed or 0
        wait([result for _, result in self._in_flight])
        self._in_flight.clear()
        self._first_failed = None

    def close(self) -> None:
        """Abandon the batches in flight, and end the threads."""
        self.abandon()
        for _, pool in self._stages:
            pool.shutdown()

    def _run(self, stage: Stage, before: "Future[Any]", number: int, frames: int) -> Any:
        try:
            value = before.result()
            if self._first_failed is not None and number > self._first_failed:
                raise BatchAbandoned
            with metrics.STAGE_SECONDS.labels(stage.name).time():
                return stage.work(value)
        except BaseException:
            if self._first_failed is None or number < self._first_failed:
                self._first_failed = number
            raise
        finally:
            self._queued_frames[stage.name].dec(frames)
