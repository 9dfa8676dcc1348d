"""The contract of every bus for records that are deleted before a group has read them."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.protocol import Bus, DeletedRecords, Message, RecordPosition, readable
from tests.ingest.bus.bus_calls import OpenBus, commit, poll_until, publish, read, read_until


@pytest.fixture
def delete_before(open_bus_again: OpenBus, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Delete the records of a partition before an offset, as retention may that takes no heed of groups."""
    if isinstance(open_bus_again(), EmbeddedBus):

        def delete(topic: str, partition: int, offset: int) -> None:
            with closing(sqlite3.connect(tmp_path / "bus.sqlite")) as file, file:
                (number,) = file.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
                where = (number, partition)
                file.execute("DELETE FROM records WHERE topic = ? AND partition = ? AND offset < ?", (*where, offset))
                file.execute(
                    "UPDATE partitions SET first_offset = ? WHERE topic = ? AND partition = ?", (offset, *where)
                )

        return delete
    bootstrap = request.getfixturevalue("kafka_bootstrap")

    def delete_records(topic: str, partition: int, offset: int) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
            admin.delete_records({TopicPartition(topic, partition): offset})

    return delete_records


def test_records_deleted_unread_are_told_once_and_counted(
    bus: Bus, topic: str, delete_before: Callable[..., None]
) -> None:
    places = publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(8)])
    partition = places[0].partition
    with closing(bus.consumer(topic, "g")) as consumer:
        commit(consumer, read(consumer, 8)[:1])
    delete_before(topic, partition, 6)
    with closing(bus.consumer(topic, "g")) as consumer:
        entries = poll_until(consumer, 3)
        assert entries[0] == DeletedRecords(RecordPosition(topic, partition, 1), 5)
        assert [record.value for record in readable(entries)] == [b"6", b"7"]
        consumer.rewind()
        assert poll_until(consumer, 3) == entries
        commit(consumer, entries[:1])
        assert consumer.group_lag() == 2
        consumer.rewind()
        assert [record.value for record in readable(poll_until(consumer, 2))] == [b"6", b"7"]


def test_records_deleted_before_the_first_commit_are_told_too(
    bus: Bus, topic: str, delete_before: Callable[..., None]
) -> None:
    places = publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(4)])
    with closing(bus.consumer(topic, "g")) as consumer:
        read(consumer, 4)  # and the reader ends before it has committed any
    delete_before(topic, places[0].partition, 4)
    with closing(bus.consumer(topic, "g")) as consumer:
        (deleted,) = poll_until(consumer, 1)
        assert deleted == DeletedRecords(RecordPosition(topic, places[0].partition, 0), 4)
        commit(consumer, [deleted])
        assert consumer.group_lag() == 0


def test_records_deleted_in_a_partition_that_was_empty_when_the_group_began_are_told(
    bus: Bus, topic: str, delete_before: Callable[..., None]
) -> None:
    with closing(bus.consumer(topic, "g")) as consumer:
        read_until(consumer, lambda _: len(consumer.assignment()) == 6)
        consumer.poll(1, 0.1)
    places = publish(bus, topic, [Message("s1", b"x", ())] * 3)
    delete_before(topic, places[0].partition, 3)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert consumer.group_lag() == 3  # nobody may think that all is read
        assert poll_until(consumer, 1) == [DeletedRecords(RecordPosition(topic, places[0].partition, 0), 3)]


def test_a_new_group_misses_nothing_that_was_deleted_before_it(
    bus: Bus, topic: str, delete_before: Callable[..., None]
) -> None:
    places = publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(4)])
    delete_before(topic, places[0].partition, 2)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert [record.value for record in readable(poll_until(consumer, 2))] == [b"2", b"3"]
        assert consumer.group_lag() == 2


def test_records_that_were_committed_are_not_missed_when_read_again_from_before(
    bus: Bus, topic: str, delete_before: Callable[..., None]
) -> None:
    positions = publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(5)])
    with closing(bus.consumer(topic, "g")) as consumer:
        commit(consumer, read(consumer, 5)[:4])
        delete_before(topic, positions[0].partition, 3)
        consumer.seek(positions[0])
        assert [record.value for record in readable(poll_until(consumer, 2))] == [b"3", b"4"]


def test_records_deleted_while_paused_are_told_after(bus: Bus, topic: str, delete_before: Callable[..., None]) -> None:
    places = publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(4)])
    with closing(bus.consumer(topic, "g")) as consumer:
        commit(consumer, read(consumer, 4)[:1])
        consumer.rewind()
        consumer.pause()
        delete_before(topic, places[0].partition, 3)
        assert [consumer.poll(100, 0.3) for _ in range(3)] == [[]] * 3
        consumer.resume()
        entries = poll_until(consumer, 2)
    assert entries[0] == DeletedRecords(RecordPosition(topic, places[0].partition, 1), 2)
    assert [record.value for record in readable(entries)] == [b"3"]
