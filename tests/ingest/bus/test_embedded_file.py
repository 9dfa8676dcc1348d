"""The file of the embedded bus: retention, its size limit, full disks, locks, and processes that are killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.bus.protocol import Record, RecordPosition, readable
from ingest.errors import BusMisconfigured, BusUnavailable
from testing.clock import ManualClock
from tests.ingest.bus.embedded_bus import (
    NO_ERROR,
    TOPIC,
    commit_records,
    image_message,
    open_bus,
    publish,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


def test_old_records_are_deleted_once_every_group_has_committed_them(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, embedded_retention_s=60, partitions=1)
    publish(bus, *(image_message() for _ in range(10)))
    with closing(bus.consumer(TOPIC, "slow")) as slow, closing(bus.consumer(TOPIC, "quick")) as quick:
        commit_records(quick, list(quick.poll(100, 0)))
        commit_records(slow, list(slow.poll(4, 0)))
        clock.advance(30)
        publish(bus, image_message())
        assert bus.read(RecordPosition(TOPIC, 0, 0)) is not None  # still young
        clock.advance(31)
        publish(bus, image_message())
        assert bus.read(RecordPosition(TOPIC, 0, 3)) is None
        assert bus.read(RecordPosition(TOPIC, 0, 4)) is not None  # the slow group still needs it
        quick.seek(RecordPosition(TOPIC, 0, 0))  # replay: continues at the oldest record left
        assert [record.position.offset for record in quick.poll(100, 0)] == [4, 5, 6, 7, 8, 9, 10, 11]


def test_no_record_is_deleted_without_a_group(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, embedded_retention_s=0)
    publish(bus, image_message())
    clock.advance(1000)
    publish(bus, image_message())
    with closing(bus.consumer(TOPIC, "late")) as late:
        assert len(late.poll(10, 0)) == 2


def test_the_file_does_not_grow_without_bound(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, embedded_retention_s=0)
    sizes = []
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        for _ in range(8):
            publish(bus, *(image_message(size_bytes=200_000) for _ in range(20)))
            commit_records(consumer, list(consumer.poll(100, 0)))
            clock.advance(1)
            sizes.append(path.stat().st_size)
    assert sizes[-1] <= 3 * 20 * 220_000


def test_an_idle_publisher_checkpoints_its_journal(path: Path, clock: ManualClock) -> None:
    """Otherwise the message that fills the journal would wait until all of it is moved."""
    with closing(open_bus(path, clock).publisher(TOPIC)) as publisher:
        for _ in range(6):
            publisher.publish(image_message(size_bytes=800_000), lambda _, error: None)
        publisher.flush(10)
        deadline = time.monotonic() + 10
        while path.stat().st_size < 4_000_000:
            assert time.monotonic() < deadline
            publisher.flush(1)


def test_a_full_log_is_refused_with_its_limit_and_the_slowest_group(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, embedded_max_bytes=40_000_000)
    bus.consumer(TOPIC, "scorers").close()
    full = [
        error for error in publish(bus, *(image_message(size_bytes=1_000_000) for _ in range(60))) if error is not None
    ]
    assert {type(error) for error in full} == {BusUnavailable}
    assert all(named in str(full[0]) for named in (str(path), "40000000", "embedded_max_bytes", "scorers"))


def test_a_full_log_accepts_frames_again_once_records_were_consumed(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, embedded_max_bytes=40_000_000, embedded_retention_s=0)
    assert any(publish(bus, *(image_message(size_bytes=1_000_000) for _ in range(60))))
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        while records := list(consumer.poll(10, 0)):
            commit_records(consumer, records)
    clock.advance(1)
    publish(bus, image_message())  # a publisher deletes old frames as it publishes
    assert publish(bus, *(image_message(size_bytes=1_000_000) for _ in range(10))) == NO_ERROR * 10


def test_a_full_disk_makes_the_bus_unavailable(path: Path) -> None:
    """A real refusal: a file size limit makes the kernel refuse the write."""
    program = f"""
import resource, signal
from pathlib import Path
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.protocol import Message
from ingest.settings import IngestSettings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
bus = EmbeddedBus(IngestSettings(embedded_path=Path({str(path)!r})))
publisher = bus.publisher("t")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
publisher.publish(Message("s1", b"x" * 3_000_000, ()), lambda place, error: print(type(error).__name__, error))
publisher.flush(30)
"""
    stdout = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert stdout.splitlines()[-1].startswith("BusUnavailable")


def test_a_locked_file_is_unavailable_and_loses_no_frame(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.bus.embedded.database.LOCK_TIMEOUT_S", 0.2)
    bus = open_bus(path, clock)
    outcomes: list[Exception | None] = []
    with closing(bus.publisher(TOPIC)) as publisher, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        publisher.publish(image_message(), lambda _, error: outcomes.append(error))
        publisher.flush(10)
        assert isinstance(outcomes[0], BusUnavailable)
        other.execute("ROLLBACK")
        publisher.publish(image_message(), lambda _, error: outcomes.append(error))
        publisher.flush(10)
        assert outcomes[1] is None


def test_a_file_of_another_kind_is_refused(path: Path, clock: ManualClock) -> None:
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(BusMisconfigured, match=str(path)):
        open_bus(path, clock).publisher(TOPIC)


def test_a_file_of_a_newer_version_is_refused(path: Path, clock: ManualClock) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(BusMisconfigured, match=str(path)):
        open_bus(path, clock).publisher(TOPIC)


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BusUnavailable, match="file"):
        open_bus(tmp_path / "file" / "bus.sqlite", clock).publisher(TOPIC)


def test_concurrent_creation_of_the_file_succeeds(path: Path, clock: ManualClock) -> None:
    start = threading.Barrier(8)
    failures: list[Exception] = []

    def create_topic() -> None:
        start.wait()
        try:
            open_bus(path, clock).ensure_topic(TOPIC, 4)
        except (BusUnavailable, BusMisconfigured) as error:
            failures.append(error)

    threads = [threading.Thread(target=create_topic) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_killed_publisher_loses_no_acknowledged_message(path: Path) -> None:
    program = f"""
from pathlib import Path
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.protocol import Message
from ingest.settings import IngestSettings
publisher = EmbeddedBus(IngestSettings(embedded_path=Path({str(path)!r}), partitions=4)).publisher("t")
for number in range(100_000):
    publisher.publish(
        Message("s1", b"%100000d" % number, ()), lambda place, error: print(place.offset, flush=True)
    )
    if number % 5 == 4:
        publisher.flush(30)
"""
    acknowledged = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == 50:
                os.kill(child.pid, signal.SIGKILL)
    bus = open_bus(path, lambda: datetime.now(UTC))
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        records: list[Record] = []
        while more := consumer.poll(1000, 0):
            records += readable(more)
    assert (
        [int(record.value) for record in records[: len(acknowledged)]] == acknowledged == list(range(len(acknowledged)))
    )
