"""Capture keeps the frame rate, ends when it is stopped, and confirms durable frames."""

import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from ingest.capture import Pacer, capture
from ingest.errors import SourceError
from ingest.frame import Frame, mint_frame_id


class Clock:
    """A monotonic clock that advances only during a wait, or when `now_s` is set."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.stop_at_s = float("inf")

    def now(self) -> float:
        return self.now_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.now_s += seconds
        if self.now_s >= self.stop_at_s:
            stop.set()
        return stop.is_set()


class Numbers:
    """A source of numbered frames; taking one costs `costs_s` on the clock."""

    def __init__(self, clock: Clock, count: int = 1_000_000, costs_s: Callable[[int], float] = lambda _: 0.0) -> None:
        self._clock = clock
        self._count = count
        self._costs_s = costs_s
        self.taken_at_s: list[float] = []
        self.confirmed: list[str | None] = []
        self.ended = False

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        try:
            for number in range(self._count):
                self._clock.now_s += self._costs_s(number)
                self.taken_at_s.append(self._clock.now_s)
                yield Frame("capture-station", datetime.now(UTC), b"", "image/png", part_id=str(number))
        finally:
            self.ended = True

    def confirm(self, frame: Frame) -> None:
        self.confirmed.append(frame.part_id)

    def close(self) -> None:
        pass


class Line:
    """Accepts frames as the producer does; the test calls `durable` to confirm them."""

    def __init__(self) -> None:
        self.sent: list[tuple[Frame, Callable[[Frame], None]]] = []

    def send(self, frame: Frame, durable: Callable[[Frame], None]) -> UUID:
        self.sent.append((frame, durable))
        return mint_frame_id(frame)

    def durable(self) -> None:
        for frame, durable in self.sent:
            durable(frame)


def run(
    source: Numbers,
    line: Line,
    clock: Clock,
    *,
    rate_fps: float | None = None,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    return capture(
        source,
        line,
        rate_fps=rate_fps,
        limit=limit,
        stop=threading.Event(),
        progress=progress,
        now=clock.now,
        wait=clock.wait,
    )


def test_without_a_rate_all_frames_go_out_as_they_come() -> None:
    clock, line = Clock(), Line()

    assert run(Numbers(clock, count=5), line, clock) == 5
    assert [frame.part_id for frame, _ in line.sent] == ["0", "1", "2", "3", "4"]
    assert clock.now_s == 100


def test_the_limit_ends_it_and_no_frame_is_taken_in_vain() -> None:
    clock, line = Clock(), Line()
    source = Numbers(clock)

    assert run(source, line, clock, limit=3) == 3
    assert len(source.taken_at_s) == 3
    assert source.ended


def test_frames_are_spaced_evenly_and_the_cost_of_taking_them_adds_no_drift() -> None:
    clock, line = Clock(), Line()
    source = Numbers(clock, costs_s=lambda _: 0.0625)

    run(source, line, clock, rate_fps=4, limit=5)

    assert source.taken_at_s == [100.0625, 100.3125, 100.5625, 100.8125, 101.0625]


def test_a_pause_is_not_followed_by_a_burst() -> None:
    clock, line = Clock(), Line()
    source = Numbers(clock, costs_s=lambda number: 10.0 if number == 1 else 0.0)

    run(source, line, clock, rate_fps=4, limit=5)

    assert source.taken_at_s == [100.0, 110.25, 110.25, 110.5, 110.75]


def test_stopping_ends_the_wait_for_the_next_turn() -> None:
    clock, line = Clock(), Line()
    clock.stop_at_s = 102.5

    assert run(Numbers(clock), line, clock, rate_fps=1) == 3


def test_progress_counts_up() -> None:
    clock, line = Clock(), Line()
    seen: list[int] = []

    run(Numbers(clock, count=3), line, clock, progress=seen.append)

    assert seen == [1, 2, 3]


def test_a_frame_is_confirmed_when_it_is_durable_and_not_before() -> None:
    clock, line = Clock(), Line()
    source = Numbers(clock, count=2)

    run(source, line, clock)
    assert source.confirmed == []

    line.durable()
    assert source.confirmed == ["0", "1"]


def test_the_time_of_the_last_frame_is_told() -> None:
    before = datetime.now(UTC).timestamp()
    clock = Clock()
    run(Numbers(clock, count=1), Line(), clock)

    told = REGISTRY.get_sample_value("andon_source_last_frame_timestamp_seconds", {"station": "capture-station"})
    assert told is not None
    assert told >= before


def test_an_error_of_the_line_passes_through_and_the_source_is_let_go() -> None:
    class Broken(Line):
        def send(self, frame: Frame, durable: Callable[[Frame], None]) -> UUID:
            raise SourceError("The line is broken.")

    clock = Clock()
    source = Numbers(clock)

    with pytest.raises(SourceError):
        run(source, Broken(), clock)
    assert source.ended


@pytest.mark.parametrize("rate_fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate_fps: float) -> None:
    with pytest.raises(ValueError, match="frames per second"):
        Pacer(rate_fps)
