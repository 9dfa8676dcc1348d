"""The contract of every bus for publishing, reading, committing and replay, on the embedded one and a real Kafka."""

import threading
import uuid
from contextlib import closing

import pytest

from ingest.bus.protocol import Bus, Message, Publisher, Record, RecordPosition
from ingest.errors import MessageTooLarge
from tests.ingest.bus.bus_calls import (
    STATIONS,
    OpenBus,
    commit,
    numbered_messages,
    publish,
    read,
)


def test_each_station_keeps_its_order_and_its_partition(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(60))
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 60)
    for station in STATIONS:
        of_station = [record for record in records if record.key == station]
        assert [int(record.value) for record in of_station] == sorted(int(record.value) for record in of_station)
        assert len({record.position.partition for record in of_station}) == 1


def test_a_record_is_read_as_it_was_published(bus: Bus, topic: str) -> None:
    message = Message("s1", bytes(range(256)) * 800, (("a", b"\x00\xff"), ("a", b"again"), ("empty", b"")))
    (position,) = publish(bus, topic, [message])
    with closing(bus.consumer(topic, "g")) as consumer:
        (record,) = read(consumer, 1)
    assert (record.position, record.key, record.value, record.headers) == (
        position,
        "s1",
        message.value,
        message.headers,
    )
    assert record.appended_at.tzinfo is not None


def test_committed_offsets_survive_consumer_and_bus(open_bus_again: OpenBus, bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(12))
    with closing(bus.consumer(topic, "g")) as consumer:
        commit(consumer, read(consumer, 12))
    publish(bus, topic, [Message("s1", b"new", ())])
    with closing(open_bus_again()) as reopened, closing(reopened.consumer(topic, "g")) as consumer:
        assert [record.value for record in read(consumer, 1)] == [b"new"]


def test_uncommitted_records_are_read_again(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(6))
    with closing(bus.consumer(topic, "g")) as consumer:
        read(consumer, 6)  # and closing does not commit
    with closing(bus.consumer(topic, "g")) as consumer:
        assert len(read(consumer, 6)) == 6


def test_rewinding_reads_uncommitted_records_again(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(4)])
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 4)
        consumer.rewind()
        assert read(consumer, 4) == records
        commit(consumer, records[:2])
        consumer.rewind()
        assert [record.value for record in read(consumer, 2)] == [b"2", b"3"]


def test_seeking_replays_from_an_offset(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(10)])
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 10)
        commit(consumer, records)
        consumer.seek(records[7].position)
        assert [record.value for record in read(consumer, 3)] == [b"7", b"8", b"9"]


def test_a_single_record_is_read_by_its_position(bus: Bus, topic: str) -> None:
    positions = publish(bus, topic, [Message("s1", b"first", ()), Message("s1", b"second", (("h", b"v"),))])
    record = bus.read(positions[1])
    assert isinstance(record, Record)
    assert (record.position, record.key, record.value, record.headers) == (
        positions[1],
        "s1",
        b"second",
        (("h", b"v"),),
    )
    assert bus.read(RecordPosition(topic, positions[1].partition, 99)) is None
    assert bus.read(RecordPosition(topic, 77, 0)) is None


def test_an_existing_topic_is_left_unchanged(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(6))
    bus.ensure_topic(topic, 2)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert len(read(consumer, 6)) == 6
        assert len(consumer.assignment()) == 6


def test_a_missing_topic_is_created_on_first_use(bus: Bus) -> None:
    name = f"new-{uuid.uuid4().hex}"
    (position,) = publish(bus, name, [Message("s1", b"x", ())])
    assert position.topic == name


def test_five_megabytes_are_published_and_twenty_are_refused(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", b"x" * 5_000_000, ())])
    with closing(bus.publisher(topic)) as publisher:
        with pytest.raises(MessageTooLarge, match=r"20000008.*10000000"):
            publisher.publish(Message("s1", b"x" * 20_000_000, ()), lambda *_: None)
        publisher.flush(1)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert [len(record.value) for record in read(consumer, 1)] == [5_000_000]


def test_concurrent_publishers_lose_nothing(open_bus_again: OpenBus, bus: Bus, topic: str) -> None:
    def publish_numbers(publisher: Publisher, station: str) -> None:
        for number in range(20):
            publisher.publish(Message(station, str(number).encode(), ()), lambda *_: None)
        publisher.flush(30)
        publisher.close()

    others = [open_bus_again() for _ in STATIONS]
    threads = [
        threading.Thread(target=publish_numbers, args=(other.publisher(topic), station))
        for other, station in zip(others, STATIONS, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 120)
    for station in STATIONS:
        assert [int(record.value) for record in records if record.key == station] == list(range(20))


def test_a_closed_publisher_and_consumer_refuse_calls(bus: Bus, topic: str) -> None:
    publisher, consumer = bus.publisher(topic), bus.consumer(topic, "g")
    for closed in (publisher, consumer):
        closed.close()
        closed.close()
    with pytest.raises(Exception, match="closed"):
        publisher.publish(Message("s1", b"x", ()), lambda *_: None)
    with pytest.raises(Exception, match="closed"):
        consumer.poll(1, 0)
