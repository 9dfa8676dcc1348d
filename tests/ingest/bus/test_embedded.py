"""Groups of the embedded bus: leases, the assignment of partitions, and consumers that are killed."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.bus.embedded.assignment import assign_partitions
from ingest.bus.embedded.publisher import partition_for_key
from ingest.bus.protocol import Message, readable
from testing.clock import ManualClock
from tests.ingest.bus.embedded_bus import (
    TOPIC,
    assigned_partitions,
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


def test_partitions_of_a_silent_member_are_reassigned_when_its_lease_expires(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, lease_s=10)
    with closing(bus.consumer(TOPIC, "g")) as silent, closing(bus.consumer(TOPIC, "g")) as active:
        silent.poll(1, 0)
        active.poll(1, 0)
        assert len(assigned_partitions(active)) == 2
        clock.advance(9)
        active.poll(1, 0)
        assert len(assigned_partitions(active)) == 2
        clock.advance(2)
        active.poll(1, 0)  # renews only every third of a lease
        clock.advance(4)
        active.poll(1, 0)
        assert assigned_partitions(active) == {0, 1, 2, 3}


def test_an_expired_member_cannot_commit_and_rejoins(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock, lease_s=10)
    publish(bus, *(image_message(f"s{number}") for number in range(20)))
    with closing(bus.consumer(TOPIC, "g")) as expired, closing(bus.consumer(TOPIC, "g")) as successor:
        first_records = list(expired.poll(100, 0))
        clock.advance(11)
        successor.poll(1, 0)
        assert assigned_partitions(successor) == {0, 1, 2, 3}
        commit_records(expired, first_records)
        assert sum(successor.lag().values()) == 20
        expired.poll(1, 0)
        successor.poll(1, 0)
        assert len(assigned_partitions(expired)) == len(assigned_partitions(successor)) == 2


def test_a_late_commit_of_an_older_generation_does_not_rewind_the_offset(path: Path, clock: ManualClock) -> None:
    """The share is the old reader's again, but of a newer generation, so its late commit does not count."""
    bus = open_bus(path, clock, partitions=2)
    station = next(name for name in map("s{}".format, range(9)) if partition_for_key(name, 2) == 1)
    publish(bus, *(image_message(station) for _ in range(6)))
    with closing(bus.consumer(TOPIC, "g")) as old:
        first_records = list(old.poll(2, 0))
        with closing(bus.consumer(TOPIC, "g")) as other:
            commit_records(other, list(other.poll(5, 0)))
        commit_records(old, first_records)
        assert [record.position.offset for record in old.poll(10, 0)] == [5]
        assert sum(old.lag().values()) == 1


def test_frames_of_a_killed_consumer_are_read_by_another(path: Path, clock: ManualClock) -> None:
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
        clock.advance(11)
        assert [record.value for record in readable(consumer.poll(100, 0))] == [b"3", b"4", b"5", b"6", b"7"]


def test_one_poll_reads_fairly_from_all_partitions(path: Path, clock: ManualClock) -> None:
    bus = open_bus(path, clock)
    publish(bus, *(image_message(f"s{number % 16}") for number in range(160)))
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        first_seen = {consumer.poll(1, 0)[0].position.partition for _ in range(4)}
    assert first_seen == {0, 1, 2, 3}


def test_a_station_keeps_its_partition_in_every_release() -> None:
    crc_32_by_gzip = 0x141538F0  # printf s1 | gzip -c | tail -c8 | head -c4 | od -An -tx4
    assert partition_for_key("s1", 12) == crc_32_by_gzip % 12 == 4


members = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(st.integers(1, 40), members, st.dictionaries(st.integers(0, 39), st.sampled_from("abcdefgh")))
def test_partitions_are_assigned_evenly_and_stay_with_their_owners(
    n: int, members: list[str], owners: dict[int, str]
) -> None:
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
        owned = [partition for partition, owner in owners.items() if owner == member]
        kept = [partition for partition in owned if shares[partition] == member]
        assert len(kept) >= min(len(owned), n // len(members))
