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


class ManualMonotonicClock:
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


class NumberedSource:
    """A source of numbered frames; taking one costs `costs_s` on the clock."""

    def __init__(
        self, clock: ManualMonotonicClock, count: int = 1_000_000, read_takes_s: Callable[[int], float] = lambda _: 0.0
    ) -> None:
        self._clock = clock
        self._count = count
        self._read_takes_s = read_takes_s
        self.read_at_s: list[float] = []
        self.confirmed: list[str | None] = []
        self.closed_generator = False

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        try:
            for number in range(self._count):
                self._clock.now_s += self._read_takes_s(number)
                self.read_at_s.append(self._clock.now_s)
                yield Frame("capture-station", datetime.now(UTC), b"", "image/png", part_id=str(number))
        finally:
            self.closed_generator = True

    def confirm(self, frame: Frame) -> None:
        self.confirmed.append(frame.part_id)

    def close(self) -> None:
        pass


class RecordingProducer:
    """Accepts frames as the producer does; the test calls `durable` to confirm them."""

    def __init__(self) -> None:
        self.sent: list[tuple[Frame, Callable[[Frame], None]]] = []

    def send(self, frame: Frame, durable: Callable[[Frame], None]) -> UUID:
        self.sent.append((frame, durable))
        return mint_frame_id(frame)

    def mark_durable(self) -> None:
        for frame, durable in self.sent:
            durable(frame)


def run_capture(
    source: NumberedSource,
    producer: RecordingProducer,
    clock: ManualMonotonicClock,
    *,
    rate_fps: float | None = None,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    return capture(
        source,
        producer,
        rate_fps=rate_fps,
        limit=limit,
        stop=threading.Event(),
        progress=progress,
        now=clock.now,
        wait=clock.wait,
    )


def test_frames_are_sent_as_they_come_without_a_rate() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()

    assert run_capture(NumberedSource(clock, count=5), producer, clock) == 5
    assert [frame.part_id for frame, _ in producer.sent] == ["0", "1", "2", "3", "4"]
    assert clock.now_s == 100


def test_the_limit_ends_capture_without_reading_another_frame() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()
    source = NumberedSource(clock)

    assert run_capture(source, producer, clock, limit=3) == 3
    assert len(source.read_at_s) == 3
    assert source.closed_generator


def test_frames_are_spaced_evenly_whatever_reading_them_takes() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()
    source = NumberedSource(clock, read_takes_s=lambda _: 0.0625)

    run_capture(source, producer, clock, rate_fps=4, limit=5)

    assert source.read_at_s == [100.0625, 100.3125, 100.5625, 100.8125, 101.0625]


def test_a_slow_frame_is_not_followed_by_a_burst() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()
    source = NumberedSource(clock, read_takes_s=lambda number: 10.0 if number == 1 else 0.0)

    run_capture(source, producer, clock, rate_fps=4, limit=5)

    assert source.read_at_s == [100.0, 110.25, 110.25, 110.5, 110.75]


def test_stopping_ends_the_wait_for_the_next_frame() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()
    clock.stop_at_s = 102.5

    assert run_capture(NumberedSource(clock), producer, clock, rate_fps=1) == 3


def test_progress_counts_up() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()
    counts: list[int] = []

    run_capture(NumberedSource(clock, count=3), producer, clock, progress=counts.append)

    assert counts == [1, 2, 3]


def test_a_frame_is_confirmed_when_it_is_durable_and_not_before() -> None:
    clock, producer = ManualMonotonicClock(), RecordingProducer()
    source = NumberedSource(clock, count=2)

    run_capture(source, producer, clock)
    assert source.confirmed == []

    producer.mark_durable()
    assert source.confirmed == ["0", "1"]


def test_the_time_of_the_last_frame_is_a_metric() -> None:
    before = datetime.now(UTC).timestamp()
    clock = ManualMonotonicClock()
    run_capture(NumberedSource(clock, count=1), RecordingProducer(), clock)

    timestamp = REGISTRY.get_sample_value("andon_source_last_frame_timestamp_seconds", {"station": "capture-station"})
    assert timestamp is not None
    assert timestamp >= before


def test_an_error_of_the_producer_is_raised_and_ends_the_source() -> None:
    class FailingProducer(RecordingProducer):
        def send(self, frame: Frame, durable: Callable[[Frame], None]) -> UUID:
            raise SourceError("The line is broken.")

    clock = ManualMonotonicClock()
    source = NumberedSource(clock)

    with pytest.raises(SourceError):
        run_capture(source, FailingProducer(), clock)
    assert source.closed_generator


@pytest.mark.parametrize("rate_fps", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_rate_is_refused(rate_fps: float) -> None:
    with pytest.raises(ValueError):
        Pacer(rate_fps)
