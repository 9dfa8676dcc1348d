"""Features of the embedded bus alone: leases, retention, limits of its file, and processes that are killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.bus.embedded.assignment import assign_partitions
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.embedded.consumer import EmbeddedConsumer
from ingest.bus.embedded.publisher import partition_for_key
from ingest.bus.protocol import Message, Record, RecordPosition
from ingest.errors import BusMisconfigured, BusUnavailable
from ingest.settings import IngestSettings

TOPIC = "t"
NO_ERROR: list[Exception | None] = [None]


class Clock:
    """A clock that advances only when it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


def open_bus(path: Path, clock: Callable[[], datetime], **settings: object) -> EmbeddedBus:
    return EmbeddedBus(IngestSettings.model_validate({"embedded_path": path, "partitions": 4} | settings), clock)


def publish(bus: EmbeddedBus, *messages: Message) -> list[Exception | None]:
    """Publish and wait; return each message's error, None where it was acknowledged."""
    errors: list[Exception | None] = []
    with closing(bus.publisher(TOPIC)) as publisher:
        for message in messages:
            publisher.publish(message, lambda _, error: errors.append(error))
        publisher.flush(30)
    return errors


def image(station: str = "s1", size_bytes: int = 10) -> Message:
    return Message(station, os.urandom(size_bytes), ())


def commit_all(consumer: EmbeddedConsumer, records: list[Record] | tuple[Record, ...]) -> None:
    consumer.commit({(TOPIC, record.position.partition): record.position.offset + 1 for record in records})


def partitions(consumer: EmbeddedConsumer) -> set[int]:
    return {partition for _, partition in consumer.assignment()}


def test_a_silent_members_share_moves_when_its_lease_lapses(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, lease_s=10)
    with closing(bus.consumer(TOPIC, "g")) as silent, closing(bus.consumer(TOPIC, "g")) as lively:
        silent.poll(1, 0)
        lively.poll(1, 0)
        assert len(partitions(lively)) == 2
        clock.move(9)
        lively.poll(1, 0)
        assert len(partitions(lively)) == 2
        clock.move(2)
        lively.poll(1, 0)  # renews only every third of a lease
        clock.move(4)
        lively.poll(1, 0)
        assert partitions(lively) == {0, 1, 2, 3}


def test_a_member_that_was_given_up_can_not_commit_and_joins_again(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, lease_s=10)
    publish(bus, *(image(f"s{number}") for number in range(20)))
    with closing(bus.consumer(TOPIC, "g")) as asleep, closing(bus.consumer(TOPIC, "g")) as successor:
        early = list(asleep.poll(100, 0))
        clock.move(11)
        successor.poll(1, 0)
        assert partitions(successor) == {0, 1, 2, 3}
        commit_all(asleep, early)
        assert sum(successor.lag().values()) == 20
        asleep.poll(1, 0)
        successor.poll(1, 0)
        assert len(partitions(asleep)) == len(partitions(successor)) == 2


def test_a_late_commit_for_a_share_that_went_and_came_back_turns_nothing_back(path: Path, clock: Clock) -> None:
    """The share is the old reader's again, but of a newer generation, so its late commit does not count."""
    bus = open_bus(path, clock, partitions=2)
    in_the_second = next(name for name in map("s{}".format, range(9)) if partition_for_key(name, 2) == 1)
    publish(bus, *(image(in_the_second) for _ in range(6)))
    with closing(bus.consumer(TOPIC, "g")) as old:
        early = list(old.poll(2, 0))
        with closing(bus.consumer(TOPIC, "g")) as other:
            commit_all(other, list(other.poll(5, 0)))
        commit_all(old, early)
        assert [record.position.offset for record in old.poll(10, 0)] == [5]
        assert sum(old.lag().values()) == 1


def test_old_records_go_once_every_group_has_committed_them(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, embedded_retention_s=60, partitions=1)
    publish(bus, *(image() for _ in range(10)))
    with closing(bus.consumer(TOPIC, "slow")) as slow, closing(bus.consumer(TOPIC, "quick")) as quick:
        commit_all(quick, list(quick.poll(100, 0)))
        commit_all(slow, list(slow.poll(4, 0)))
        clock.move(30)
        publish(bus, image())
        assert bus.read(RecordPosition(TOPIC, 0, 0)) is not None  # still young
        clock.move(31)
        publish(bus, image())
        assert bus.read(RecordPosition(TOPIC, 0, 3)) is None
        assert bus.read(RecordPosition(TOPIC, 0, 4)) is not None  # the slow group still needs it
        quick.seek(RecordPosition(TOPIC, 0, 0))  # replay: continues at the oldest record left
        assert [record.position.offset for record in quick.poll(100, 0)] == [4, 5, 6, 7, 8, 9, 10, 11]


def test_without_any_group_nothing_is_forgotten(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, embedded_retention_s=0)
    publish(bus, image())
    clock.move(1000)
    publish(bus, image())
    with closing(bus.consumer(TOPIC, "late")) as late:
        assert len(late.poll(10, 0)) == 2


def test_the_file_does_not_grow_for_ever(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, embedded_retention_s=0)
    sizes = []
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        for _ in range(8):
            publish(bus, *(image(size_bytes=200_000) for _ in range(20)))
            commit_all(consumer, list(consumer.poll(100, 0)))
            clock.move(1)
            sizes.append(path.stat().st_size)
    assert sizes[-1] <= 3 * 20 * 220_000


def test_a_publisher_that_has_nothing_to_do_brings_its_journal_into_the_file(path: Path, clock: Clock) -> None:
    """Otherwise the message that fills the journal would wait until all of it is moved."""
    with closing(open_bus(path, clock).publisher(TOPIC)) as publisher:
        for _ in range(6):
            publisher.publish(image(size_bytes=800_000), lambda _, error: None)
        publisher.flush(10)
        given_up = time.monotonic() + 10
        while path.stat().st_size < 4_000_000:
            assert time.monotonic() < given_up
            publisher.flush(1)


def test_a_full_log_is_refused_and_names_its_limit_and_the_slowest_group(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, embedded_max_bytes=40_000_000)
    bus.consumer(TOPIC, "scorers").close()
    full = [error for error in publish(bus, *(image(size_bytes=1_000_000) for _ in range(60))) if error is not None]
    assert {type(error) for error in full} == {BusUnavailable}
    assert all(named in str(full[0]) for named in (str(path), "40000000", "embedded_max_bytes", "scorers"))


def test_a_full_log_takes_frames_again_once_they_were_read(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock, embedded_max_bytes=40_000_000, embedded_retention_s=0)
    assert any(publish(bus, *(image(size_bytes=1_000_000) for _ in range(60))))
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        while records := list(consumer.poll(10, 0)):
            commit_all(consumer, records)
    clock.move(1)
    publish(bus, image())  # a publisher deletes old frames as it publishes
    assert publish(bus, *(image(size_bytes=1_000_000) for _ in range(10))) == NO_ERROR * 10


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
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].startswith("BusUnavailable")


def test_a_locked_file_is_unavailable_and_its_frames_are_not_lost(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.bus.embedded.database.LOCK_TIMEOUT_S", 0.2)
    bus = open_bus(path, clock)
    outcomes: list[Exception | None] = []
    with closing(bus.publisher(TOPIC)) as publisher, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        publisher.publish(image(), lambda _, error: outcomes.append(error))
        publisher.flush(10)
        assert "locked by another program" in str(outcomes[0])
        other.execute("ROLLBACK")
        publisher.publish(image(), lambda _, error: outcomes.append(error))
        publisher.flush(10)
        assert outcomes[1] is None


def test_a_file_of_another_kind_is_refused(path: Path, clock: Clock) -> None:
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(BusMisconfigured, match="is not an embedded bus or is damaged"):
        open_bus(path, clock).publisher(TOPIC)


def test_a_file_of_a_newer_version_is_refused(path: Path, clock: Clock) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(BusMisconfigured, match="another version"):
        open_bus(path, clock).publisher(TOPIC)


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BusUnavailable, match=r"folder .*file"):
        open_bus(tmp_path / "file" / "bus.sqlite", clock).publisher(TOPIC)


def test_many_may_make_the_file_at_the_same_moment(path: Path, clock: Clock) -> None:
    start = threading.Barrier(8)
    failures: list[Exception] = []

    def make() -> None:
        start.wait()
        try:
            open_bus(path, clock).ensure_topic(TOPIC, 4)
        except (BusUnavailable, BusMisconfigured) as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_killed_publisher_loses_nothing_that_was_acknowledged(path: Path) -> None:
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
    promised = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            promised.append(int(line))
            if len(promised) == 50:
                os.kill(child.pid, signal.SIGKILL)
    bus = open_bus(path, lambda: datetime.now(UTC))
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        records: list[Record] = []
        while more := consumer.poll(1000, 0):
            records += more
    assert [int(record.value) for record in records[: len(promised)]] == promised == list(range(len(promised)))


def test_a_killed_consumers_frames_come_again_to_another(path: Path, clock: Clock) -> None:
    """The child commits 3 of 8 and is killed with the rest read; its lease lapses by the clock."""
    bus = open_bus(path, clock, partitions=1)
    publish(bus, *(Message("s1", b"%d" % number, ()) for number in range(8)))
    program = f"""
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.settings import IngestSettings
at = datetime.fromisoformat({clock.now.isoformat()!r})
bus = EmbeddedBus(IngestSettings(embedded_path=Path({str(path)!r})), lambda: at)
consumer = bus.consumer("t", "g")
assert len(consumer.poll(100, 10)) == 8
consumer.commit({{("t", 0): 3}})
print("committed", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while child.stdout.readline().strip() != b"committed":
            assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        assert not consumer.poll(100, 0)
        clock.move(11)
        assert [record.value for record in consumer.poll(100, 0)] == [b"3", b"4", b"5", b"6", b"7"]


def test_one_poll_reads_fairly_from_all_partitions(path: Path, clock: Clock) -> None:
    bus = open_bus(path, clock)
    publish(bus, *(image(f"s{number % 16}") for number in range(160)))
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        first_seen = {consumer.poll(1, 0)[0].position.partition for _ in range(4)}
    assert first_seen == {0, 1, 2, 3}


def test_a_station_keeps_its_partition_in_every_release() -> None:
    crc_32_by_gzip = 0x141538F0  # printf s1 | gzip -c | tail -c8 | head -c4 | od -An -tx4
    assert partition_for_key("s1", 12) == crc_32_by_gzip % 12 == 4


members = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(st.integers(1, 40), members, st.dictionaries(st.integers(0, 39), st.sampled_from("abcdefgh")))
def test_shares_are_even_and_nothing_moves_without_need(n: int, members: list[str], owners: dict[int, str]) -> None:
    owners = {partition: owner for partition, owner in owners.items() if partition < n}
    shares = assign_partitions(n, members, owners)
    if not members:
        assert shares == {}
        return
    counts = [list(shares.values()).count(member) for member in members]
    assert sorted(shares) == list(range(n))
    assert max(counts) - min(counts) <= 1
    assert assign_partitions(n, members, shares) == shares
    for member in members:
        had = [partition for partition, owner in owners.items() if owner == member]
        kept = [partition for partition in had if shares[partition] == member]
        assert len(kept) >= min(len(had), n // len(members))
