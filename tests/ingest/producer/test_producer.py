"""The producer gets every frame to the bus, in order per station, whatever the bus does meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from ingest import schema
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.protocol import DeliveryCallback, Message, Publisher, Record
from ingest.errors import BusUnavailable, MessageTooLarge
from ingest.frame import Frame
from ingest.producer import producer as producer_module
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings

AT = datetime(2026, 3, 1, tzinfo=UTC)
TOPIC = "t"


class Gate(Publisher):
    """The embedded bus's publisher behind a gate that can be shut: messages then fail, or stay in flight."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner
        self.shut = False
        self.hanging = False
        self.hanging_station = ""
        self.largest_bytes = 1 << 40
        self.hung: list[tuple[Message, DeliveryCallback]] = []
        self.failed = threading.Event()

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        if message.size_bytes > self.largest_bytes:
            raise MessageTooLarge("over the gate's limit")
        if self.hanging or message.key == self.hanging_station:
            self.hung.append((message, on_delivery))
        elif self.shut:
            self.failed.set()
            on_delivery(None, BusUnavailable("the gate is shut"))
        else:
            self._inner.publish(message, on_delivery)

    def let_the_hung_through(self) -> None:
        self.hanging = False
        hung, self.hung = self.hung, []
        for message, on_delivery in hung:
            self._inner.publish(message, on_delivery)

    def let_the_hung_fail(self) -> None:
        self.hanging, self.shut = False, True
        for _, on_delivery in self.hung:
            on_delivery(None, BusUnavailable("no answer in time"))
        self.hung = []

    def flush(self, timeout_s: float) -> None:
        self._inner.flush(timeout_s)

    def close(self) -> None:
        self._inner.close()


class Folder:
    """Claim checks in memory; unavailable while `away`."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    def put(self, data: bytes) -> str:
        if self.away:
            raise OSError("the store is away")
        reference = f"sha256:{len(self.kept)}"
        self.kept[reference] = data
        return reference


@dataclass
class Line:
    """A producer on an embedded bus, and the frames that it reported as durable."""

    path: Path
    settings: IngestSettings
    folder: Folder = field(default_factory=Folder)
    durable: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus = EmbeddedBus(self.settings)
        self.start()

    def start(self) -> None:
        self.gate = Gate(self.bus.publisher(TOPIC))
        self.spool = Spool(self.settings.spool_path, self.settings.max_spool_bytes)
        self.producer = Producer(self.gate, self.settings, self.spool, self.folder, lambda: AT)

    def send(self, *names: str, size_bytes: int = 20) -> None:
        """Return names like s1-7, of station and number, which are also the part ids."""
        for name in names:
            image = name.encode().ljust(size_bytes, b".")
            self.producer.send(Frame(name.split("-")[0], AT, image, "image/png", part_id=name), self.durable.append)

    def durable_names(self) -> list[str | None]:
        return [frame.part_id for frame in self.durable]

    def records(self) -> list[Record]:
        with closing(self.bus.consumer(TOPIC, f"reader-{os.urandom(4).hex()}")) as consumer:
            records: list[Record] = []
            while more := consumer.poll(10_000, 0):
                records += more
        return records

    def arrived(self, station: str) -> list[str]:
        """Return the part ids on the bus in order, each at its first occurrence."""
        frames = [schema.decode(record) for record in self.records() if record.key == station]
        return list(dict.fromkeys(frame.part_id or "" for frame in frames))


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(producer_module, "_MAX_RETRY_S", 0.02)
    monkeypatch.setattr(producer_module, "_CLOSE_TIMEOUT_S", 5.0)


OpenLine = Callable[..., Line]


@pytest.fixture
def open_line(tmp_path: Path) -> Iterator[OpenLine]:
    lines: list[Line] = []

    def open_line(**changed: object) -> Line:
        given = {"embedded_path": tmp_path / "bus.sqlite", "spool_path": tmp_path / "spool"} | changed
        lines.append(Line(tmp_path, IngestSettings.model_validate(given)))
        return lines[-1]

    yield open_line
    for line in lines:
        line.producer.close()


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, some seconds at most."""
    waiting = threading.Condition()
    with waiting:
        for _ in range(1000):
            if condition():
                return
            waiting.wait(0.01)
    raise AssertionError("it did not come to that in 10 s")


def dropped(station: str, reason: str) -> float:
    labels = {"station": station, "reason": reason}
    return REGISTRY.get_sample_value("andon_frames_dropped_total", labels) or 0.0


def published(station: str) -> float:
    return REGISTRY.get_sample_value("andon_frames_published_total", {"station": station}) or 0.0


def numbered(station: str, *numbers: int) -> list[str]:
    return [f"{station}-{number}" for number in numbers]


def test_frames_reach_the_bus_and_are_then_durable(open_line: OpenLine) -> None:
    line = open_line()
    before = published("plain")
    line.send(*numbered("plain", *range(20)))
    line.producer.flush(10)
    assert line.arrived("plain") == line.durable_names() == numbered("plain", *range(20))
    assert published("plain") - before == 20
    assert line.producer.health() == []


def test_the_id_that_send_returns_is_the_one_on_the_bus(open_line: OpenLine) -> None:
    line = open_line()
    frame = Frame("s1", AT, b"image", "image/png", identity="a.png")
    ids = {line.producer.send(frame, line.durable.append) for _ in range(2)}
    line.producer.flush(10)
    assert {schema.decode(record).frame_id for record in line.records()} == ids
    assert len(ids) == 1


def test_while_the_bus_is_away_frames_are_durable_in_the_spool(open_line: OpenLine) -> None:
    line = open_line()
    line.gate.shut = True
    line.send(*numbered("s1", *range(5)))
    until(lambda: len(line.durable) == 5)
    assert line.arrived("s1") == []
    assert any("the gate is shut" in reason for reason in line.producer.health())
    assert "5 frames wait in the spool" in line.producer.health()
    assert REGISTRY.get_sample_value("andon_spool_frames") == 5


def test_the_spool_is_drained_in_order_and_before_newer_frames(open_line: OpenLine) -> None:
    line = open_line()
    line.send(*numbered("s1", 0, 1), *numbered("s2", 0))
    line.producer.flush(10)
    line.gate.shut = True
    line.send(*numbered("s1", 2, 3), *numbered("s2", 1, 2), *numbered("s1", 4))
    until(lambda: len(line.durable) == 8)
    line.gate.shut = False
    line.send(*numbered("s1", 5, 6), *numbered("s2", 3))
    line.producer.flush(10)
    until(lambda: line.spool.frames == 0)
    assert line.arrived("s1") == numbered("s1", *range(7))
    assert line.arrived("s2") == numbered("s2", *range(4))
    assert line.producer.health() == []


def test_frames_under_way_when_the_bus_goes_are_not_overtaken(open_line: OpenLine) -> None:
    """The bus hangs with the first frame of each station; they fail late, with later ones queued behind them."""
    line = open_line()
    line.gate.hanging = True
    line.send(*numbered("s1", 0, 1, 2), *numbered("s2", 0, 1))
    until(lambda: len(line.gate.hung) == 2)
    line.gate.let_the_hung_fail()
    until(lambda: len(line.durable) == 5)
    line.gate.shut = False
    line.send(*numbered("s1", 3))
    until(lambda: line.spool.frames == 0 and len(line.durable) == 6)
    line.producer.flush(10)
    assert line.arrived("s1") == numbered("s1", 0, 1, 2, 3)
    assert line.arrived("s2") == numbered("s2", 0, 1)


def test_a_new_producer_drains_what_the_last_one_left(open_line: OpenLine) -> None:
    line = open_line()
    line.gate.shut = True
    line.send(*numbered("s1", 0, 1, 2))
    until(lambda: len(line.durable) == 3)
    line.producer.close()
    line.start()
    line.send(*numbered("s1", 3))
    line.producer.flush(10)
    assert line.arrived("s1") == numbered("s1", 0, 1, 2, 3)


def test_an_image_too_large_for_the_bus_travels_as_a_reference(open_line: OpenLine) -> None:
    line = open_line(max_inline_image_bytes=1000)
    line.send("s1-0", size_bytes=1000)
    line.send("s1-1", size_bytes=1001)
    line.producer.flush(10)
    small, large = [schema.decode(record) for record in line.records()]
    assert small.image is not None
    assert (large.image, large.image_reference) == (None, "sha256:0")
    assert line.folder.kept["sha256:0"] == b"s1-1".ljust(1001, b".")


def test_a_large_image_waits_in_the_spool_while_the_image_store_is_away(open_line: OpenLine) -> None:
    line = open_line(max_inline_image_bytes=1000)
    line.folder.away = True
    line.send("s1-0", size_bytes=2000)
    line.send("s1-1")
    until(lambda: len(line.durable) == 2)
    assert any("the store is away" in reason for reason in line.producer.health())
    line.folder.away = False
    line.producer.flush(10)
    until(lambda: line.spool.frames == 0)
    assert line.arrived("s1") == numbered("s1", 0, 1)


def test_a_bus_with_a_lower_limit_gets_a_reference_instead(open_line: OpenLine) -> None:
    line = open_line()
    line.gate.largest_bytes = 2000
    line.send("s1-0", size_bytes=5000)
    line.send("s1-1")
    line.producer.flush(10)
    assert [schema.decode(record).image_reference for record in line.records()] == ["sha256:0", None]


def test_a_frame_that_no_bus_will_take_is_dropped_and_counted_and_holds_nobody_up(open_line: OpenLine) -> None:
    line = open_line()
    line.gate.largest_bytes = 1000
    line.producer.send(Frame("odd", AT, b"i", "image/png", truth="x" * 2000), line.durable.append)
    line.send("odd-1")
    line.producer.flush(10)
    assert line.durable_names() == line.arrived("odd") == ["odd-1"]
    assert dropped("odd", "too-large") == 1


def test_memory_is_bounded_and_send_waits_for_room(open_line: OpenLine) -> None:
    line = open_line(max_memory_bytes=1_000_000)
    line.gate.hanging = True
    sent: list[int] = []

    def send_on() -> None:
        for number in range(4):
            line.send(f"s1-{number}", size_bytes=400_000)
            sent.append(number)

    sender = threading.Thread(target=send_on)
    sender.start()
    until(lambda: line.producer._buffer.senders_waiting == 1)
    assert sent == [0, 1]
    line.gate.let_the_hung_fail()
    sender.join(10)
    assert sent == [0, 1, 2, 3]


def test_a_full_spool_that_waits_loses_nothing(open_line: OpenLine) -> None:
    line = open_line(max_memory_bytes=1_000_000, max_spool_bytes=1_000_000, when_spool_full="wait")
    line.gate.shut = True

    def send_all() -> None:
        for number in range(15):
            line.send(f"wait-{number}", size_bytes=200_000)

    sender = threading.Thread(target=send_all)
    sender.start()
    until(lambda: line.producer._buffer.senders_waiting == 1)
    until(lambda: any("at its limit of 1000000 bytes" in reason for reason in line.producer.health()))
    line.gate.shut = False
    sender.join(10)
    line.producer.flush(10)
    until(lambda: line.spool.frames == 0)
    assert line.arrived("wait") == numbered("wait", *range(15))
    assert dropped("wait", "spool-full") == 0
    assert line.producer.health() == []


def test_a_full_spool_that_drops_counts_every_frame_it_drops(open_line: OpenLine) -> None:
    line = open_line(max_spool_bytes=2_000_000, when_spool_full="drop_oldest")
    line.gate.shut = True
    for number in range(40):
        line.send(f"drop-{number}", size_bytes=100_000)
    until(lambda: len(line.durable) == 40)
    line.gate.shut = False
    line.producer.flush(10)
    until(lambda: line.spool.frames == 0)
    arrived = line.arrived("drop")
    assert arrived == numbered("drop", *range(40))[-len(arrived) :]
    assert 10 <= len(arrived) < 20
    assert dropped("drop", "spool-full") == 40 - len(arrived)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_frame_under_way_when_the_spool_gives_it_up_counts_by_what_becomes_of_it(
    open_line: OpenLine, arrives: bool
) -> None:
    line = open_line(max_spool_bytes=2_000_000, when_spool_full="drop_oldest")
    before = dropped("way", "spool-full")
    line.gate.shut = True
    line.send(*numbered("way", *range(16)), size_bytes=100_000)
    until(lambda: line.spool.frames == 16)
    line.gate.hanging, line.gate.shut = True, False
    until(lambda: line.gate.hung)  # the first, from the spool
    line.send(*numbered("way", *range(16, 32)), size_bytes=100_000)
    until(lambda: len(line.durable) == 32)
    if arrives:
        line.gate.let_the_hung_through()
    else:
        line.gate.let_the_hung_fail()
        line.gate.shut = False
    line.producer.flush(10)
    until(lambda: line.spool.frames == 0)
    arrived = line.arrived("way")
    assert ("way-0" in arrived) is arrives
    assert arrived == [name for name in numbered("way", *range(32)) if name in arrived]
    assert len(arrived) + dropped("way", "spool-full") - before == 32


def test_frames_that_overtook_those_of_another_station_are_not_counted_when_the_spool_gives_them_up(
    open_line: OpenLine,
) -> None:
    line = open_line(max_spool_bytes=2_000_000, when_spool_full="drop_oldest")
    line.gate.shut = True
    line.send(*(f"{station}-{number}" for number in range(8) for station in ("late", "quick")), size_bytes=100_000)
    until(lambda: line.spool.frames == 16)
    line.gate.hanging_station, line.gate.shut = "late", False
    until(lambda: line.gate.hung)
    line.gate.let_the_hung_through()  # the bus is available again, and this station's next frame hangs
    until(lambda: line.gate.hung and published("quick") == 8)
    line.gate.hanging_station = ""
    line.gate.let_the_hung_fail()
    line.send(*numbered("late", *range(8, 24)), size_bytes=100_000)
    until(lambda: len(line.durable) == 32)
    line.gate.shut = False
    line.producer.flush(10)
    until(lambda: line.spool.frames == 0)
    assert len(line.arrived("quick")) == 8
    assert dropped("quick", "spool-full") == 0
    assert len(line.arrived("late")) + dropped("late", "spool-full") == 24


def test_without_a_spool_frames_wait_in_memory(open_line: OpenLine) -> None:
    line = open_line(max_spool_bytes=0)
    line.gate.shut = True
    line.send(*numbered("s1", *range(5)))
    with pytest.raises(BusUnavailable, match=r"5 frames are neither on the bus nor in the spool after 0\.1 s"):
        line.producer.flush(0.1)
    line.gate.shut = False
    line.producer.flush(10)
    assert line.arrived("s1") == numbered("s1", *range(5))


def test_what_fits_nowhere_at_the_end_is_counted(open_line: OpenLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "_CLOSE_TIMEOUT_S", 0.1)
    line = open_line(max_spool_bytes=0)
    line.gate.shut = True
    line.send(*numbered("end", 0, 1, 2))
    line.producer.close()
    assert line.durable == []
    assert dropped("end", "closed") == 3


def test_closing_leaves_nothing_behind_while_the_bus_is_there(open_line: OpenLine) -> None:
    line = open_line()
    line.send(*numbered("s1", *range(30)))
    line.producer.close()
    line.producer.close()
    assert line.arrived("s1") == numbered("s1", *range(30))
    with pytest.raises(BusUnavailable, match="closed"):
        line.send("s1-30")


def test_a_source_that_fails_to_note_a_frame_is_heard_of(open_line: OpenLine) -> None:
    line = open_line()

    def fails(frame: Frame) -> None:
        raise OSError("no space for the source's memory")

    line.producer.send(Frame("s1", AT, b"i", "image/png"), fails)
    with pytest.raises(BusUnavailable, match="no space for the source's memory"):
        line.producer.flush(10)
    with pytest.raises(BusUnavailable, match="no space for the source's memory"):
        line.send("s1-1")
    assert line.producer.health() == ["the producer has stopped: no space for the source's memory"]


def test_a_killed_producer_loses_no_frame_that_was_durable(open_line: OpenLine, tmp_path: Path) -> None:
    """The child's bus is available on and off; the child is killed; bus and spool together hold all durable frames."""
    program = f"""
import itertools
from pathlib import Path
from ingest import producer as producer_module
from ingest.frame import Frame
from ingest.settings import IngestSettings
from ingest.producer.spool import Spool
from tests.ingest.producer.test_producer import AT, EmbeddedBus, Folder, Gate, Producer
producer_module._MAX_RETRY_S = 0.05
folder = Path({str(tmp_path)!r})
settings = IngestSettings(embedded_path=folder / "bus.sqlite", spool_path=folder / "spool")
gate = Gate(EmbeddedBus(settings).publisher("t"))
producer = Producer(gate, settings, Spool(settings.spool_path, settings.max_spool_bytes), Folder())
for number in itertools.count():
    gate.shut = number % 40 < 20
    producer.send(
        Frame("killed", AT, b"%50000d" % number, "image/png", part_id=f"killed-{{number}}"),
        lambda frame: print(frame.part_id, flush=True),
    )
"""
    promised = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for said in child.stdout:
            if said.startswith("killed-"):
                promised.append(said.strip())
            if len(promised) == 100:
                os.kill(child.pid, signal.SIGKILL)
    line = open_line()
    line.producer.flush(30)
    until(lambda: line.spool.frames == 0)
    arrived = line.arrived("killed")
    assert promised == numbered("killed", *range(len(promised)))
    assert arrived[: len(promised)] == promised
    assert arrived == numbered("killed", *range(len(arrived)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["s1", "s2", "s3", "shut", "open", "hang", "fail", "restart"]), max_size=40))
def test_whatever_the_bus_does_nothing_is_lost_or_overtaken(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("line")
    line = Line(path, IngestSettings(embedded_path=path / "bus.sqlite", spool_path=path / "spool"))
    sent: dict[str, list[str]] = {"s1": [], "s2": [], "s3": []}
    for step in steps:
        if step in sent:
            sent[step].append(f"{step}-{len(sent[step])}")
            line.send(sent[step][-1])
        elif step in ("shut", "open"):
            line.gate.shut = step == "shut"
        elif step == "hang":
            line.gate.hanging = True
        else:
            line.gate.let_the_hung_fail()
            if step == "restart":
                line.producer.close()
                line.start()
    line.gate.let_the_hung_fail()
    line.gate.shut = False
    until(lambda: len(line.durable) == sum(map(len, sent.values())) and line.spool.frames == 0)
    line.producer.close()
    assert {station: line.arrived(station) for station in sent} == sent
