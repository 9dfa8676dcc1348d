"""The contract of every bus, tested on the embedded one and a real Kafka."""

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ingest.bus.protocol import Bus, Consumer, Message, Publisher, Record, RecordPosition
from ingest.bus.registry import open_bus
from ingest.errors import MessageTooLarge
from ingest.settings import IngestSettings

STATIONS = ("s1", "s2", "s3", "s4", "s5", "s6")
PATIENCE_S = 40.0

OpenBus = Callable[[], Bus]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBus:
    """Opens the same bus any number of times, each time as another process would."""
    if request.param == "embedded":
        settings = IngestSettings(embedded_path=tmp_path / "bus.sqlite", partitions=6)
    else:
        bootstrap = request.getfixturevalue("kafka_bootstrap")
        settings = IngestSettings(bus="kafka", kafka_bootstrap_servers=bootstrap, partitions=6)
    return lambda: open_bus(settings)


@pytest.fixture
def bus(open_again: OpenBus) -> Iterator[Bus]:
    with closing(open_again()) as bus:
        yield bus


@pytest.fixture
def topic(bus: Bus) -> str:
    name = f"frames-{uuid.uuid4().hex}"
    bus.ensure_topic(name, 6)
    return name


def publish(bus: Bus, topic: str, messages: Sequence[Message]) -> list[RecordPosition]:
    """Publish and wait; return the positions in the order of the messages."""
    positions: dict[int, RecordPosition] = {}

    def on_delivery(index: int, position: RecordPosition | None, error: Exception | None) -> None:
        positions[index] = _sure(position, error)

    with closing(bus.publisher(topic)) as publisher:
        for index, message in enumerate(messages):
            publisher.publish(message, partial(on_delivery, index))
        publisher.flush(30)
    return [positions[index] for index in range(len(messages))]


def _sure(position: RecordPosition | None, error: Exception | None) -> RecordPosition:
    assert position is not None, error
    return position


def frames(count: int) -> list[Message]:
    """Numbered messages of the stations in turn."""
    return [
        Message(station, str(number).encode(), (("n", str(number).encode()),))
        for number, station in zip(range(count), itertools.cycle(STATIONS), strict=False)
    ]


def read_until(consumer: Consumer, enough: Callable[[list[Record]], bool]) -> list[Record]:
    records: list[Record] = []
    for _ in range(int(PATIENCE_S / 0.2)):
        records += consumer.poll(100, 0.2)
        if enough(records):
            return records
    raise AssertionError(f"only {len(records)} records in {PATIENCE_S} s")


def read(consumer: Consumer, count: int) -> list[Record]:
    records = read_until(consumer, lambda records: len(records) >= count)
    assert len(records) == count
    return records


def commit(consumer: Consumer, records: Sequence[Record]) -> None:
    ends: dict[tuple[str, int], int] = {}
    for record in records:
        where = (record.position.topic, record.position.partition)
        ends[where] = max(ends.get(where, 0), record.position.offset + 1)
    consumer.commit(ends)


def poll_until_shared(one: Consumer, other: Consumer) -> None:
    """Poll two members side by side, as two workers do, until each has its half of the six partitions."""
    shared = threading.Event()

    def poll(consumer: Consumer) -> None:
        for _ in range(int(PATIENCE_S / 0.2)):
            if shared.is_set():
                break
            consumer.poll(100, 0.2)
            if len(one.assignment()) == len(other.assignment()) == 3:
                shared.set()

    threads = [threading.Thread(target=poll, args=(consumer,)) for consumer in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared.is_set(), f"shares after {PATIENCE_S} s: {one.assignment()} and {other.assignment()}"


def test_each_station_keeps_its_order_and_its_partition(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(60))
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 60)
    for station in STATIONS:
        theirs = [record for record in records if record.key == station]
        assert [int(record.value) for record in theirs] == sorted(int(record.value) for record in theirs)
        assert len({record.position.partition for record in theirs}) == 1


def test_a_record_comes_back_as_it_was_published(bus: Bus, topic: str) -> None:
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


def test_committed_positions_outlive_the_reader_and_the_bus(open_again: OpenBus, bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(12))
    with closing(bus.consumer(topic, "g")) as consumer:
        commit(consumer, read(consumer, 12))
    publish(bus, topic, [Message("s1", b"new", ())])
    with closing(open_again()) as reopened, closing(reopened.consumer(topic, "g")) as consumer:
        assert [record.value for record in read(consumer, 1)] == [b"new"]


def test_groups_do_not_share_positions(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(6))
    with closing(bus.consumer(topic, "one")) as one:
        commit(one, read(one, 6))
    with closing(bus.consumer(topic, "other")) as other:
        assert len(read(other, 6)) == 6


def test_what_was_read_but_not_committed_comes_again(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(6))
    with closing(bus.consumer(topic, "g")) as consumer:
        read(consumer, 6)  # and closing does not commit
    with closing(bus.consumer(topic, "g")) as consumer:
        assert len(read(consumer, 6)) == 6


def test_rewinding_gives_again_what_was_not_committed(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(4)])
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 4)
        consumer.rewind()
        assert read(consumer, 4) == records
        commit(consumer, records[:2])
        consumer.rewind()
        assert [record.value for record in read(consumer, 2)] == [b"2", b"3"]


def test_replay_from_an_offset(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", str(number).encode(), ()) for number in range(10)])
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 10)
        commit(consumer, records)
        consumer.seek(records[7].position)
        assert [record.value for record in read(consumer, 3)] == [b"7", b"8", b"9"]


def test_two_members_share_the_work_and_a_leavers_share_moves(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(24))
    everything = {(topic, partition) for partition in range(6)}
    with closing(bus.consumer(topic, "g")) as stays:
        leaver = bus.consumer(topic, "g")
        poll_until_shared(stays, leaver)
        assert stays.assignment() | leaver.assignment() == everything
        assert not stays.assignment() & leaver.assignment()
        leaver.close()
        read_until(stays, lambda _: stays.assignment() == everything)


def test_a_commit_for_a_lost_partition_is_left_out(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(24))
    with closing(bus.consumer(topic, "g")) as first:
        records = read(first, 24)
        with closing(bus.consumer(topic, "g")) as second:
            poll_until_shared(first, second)
            lost = second.assignment()
            commit(first, records)
            second.rewind()
            again = {(record.position.topic, record.position.partition) for record in read_until(second, bool)}
            assert again <= lost
            assert all(lag > 0 for where, lag in second.lag().items() if where in again)


def test_pause_hands_out_nothing_and_keeps_the_membership(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(6))
    with closing(bus.consumer(topic, "g")) as consumer:
        read(consumer, 6)
        ours = consumer.assignment()
        consumer.pause()
        publish(bus, topic, frames(6))
        assert [consumer.poll(100, 0.3) for _ in range(4)] == [[]] * 4
        assert consumer.assignment() == ours
        consumer.resume()
        assert len(read(consumer, 6)) == 6


def test_pause_holds_for_partitions_gained_meanwhile(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(6))
    with closing(bus.consumer(topic, "g")) as consumer:
        consumer.pause()
        for _ in range(int(PATIENCE_S / 0.2)):
            assert not consumer.poll(100, 0.2)
            if len(consumer.assignment()) == 6:
                break
        assert [consumer.poll(100, 0.3) for _ in range(4)] == [[]] * 4
        consumer.resume()
        assert len(read(consumer, 6)) == 6


def test_the_groups_lag_counts_what_other_members_hold_too(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(24))
    with closing(bus.consumer(topic, "g")) as first, closing(bus.consumer(topic, "g")) as second:
        poll_until_shared(first, second)
        assert 0 < sum(second.lag().values()) < 24
        assert second.group_lag() == 24


def test_lag_counts_from_the_committed_position(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", b"x", ())] * 5)
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 5)
        assert sum(consumer.lag().values()) == 5
        commit(consumer, records[:3])
        assert sum(consumer.lag().values()) == 2
        assert set(consumer.lag()) == consumer.assignment()


def test_a_single_record_can_be_read_by_its_place(bus: Bus, topic: str) -> None:
    places = publish(bus, topic, [Message("s1", b"first", ()), Message("s1", b"second", (("h", b"v"),))])
    record = bus.read(places[1])
    assert record is not None
    assert (record.position, record.key, record.value, record.headers) == (places[1], "s1", b"second", (("h", b"v"),))
    assert bus.read(RecordPosition(topic, places[1].partition, 99)) is None
    assert bus.read(RecordPosition(topic, 77, 0)) is None


def test_an_existing_topic_is_left_as_it_is(bus: Bus, topic: str) -> None:
    publish(bus, topic, frames(6))
    bus.ensure_topic(topic, 2)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert len(read(consumer, 6)) == 6
        assert len(consumer.assignment()) == 6


def test_a_topic_that_is_not_there_is_made_on_first_use(bus: Bus) -> None:
    name = f"new-{uuid.uuid4().hex}"
    (position,) = publish(bus, name, [Message("s1", b"x", ())])
    assert position.topic == name


def test_five_megabytes_pass_and_twenty_are_refused_in_words(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", b"x" * 5_000_000, ())])
    with closing(bus.publisher(topic)) as publisher:
        with pytest.raises(MessageTooLarge, match="20000008 bytes is over the bus's limit of 10000000"):
            publisher.publish(Message("s1", b"x" * 20_000_000, ()), lambda *_: None)
        publisher.flush(1)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert [len(record.value) for record in read(consumer, 1)] == [5_000_000]


def test_many_publishers_at_once_lose_nothing(open_again: OpenBus, bus: Bus, topic: str) -> None:
    def hand_over(publisher: Publisher, station: str) -> None:
        for number in range(20):
            publisher.publish(Message(station, str(number).encode(), ()), lambda *_: None)
        publisher.flush(30)
        publisher.close()

    others = [open_again() for _ in STATIONS]
    threads = [
        threading.Thread(target=hand_over, args=(other.publisher(topic), station))
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


def test_nothing_more_comes_of_what_is_closed(bus: Bus, topic: str) -> None:
    publisher, consumer = bus.publisher(topic), bus.consumer(topic, "g")
    for closed in (publisher, consumer):
        closed.close()
        closed.close()
    with pytest.raises(Exception, match="closed"):
        publisher.publish(Message("s1", b"x", ()), lambda *_: None)
    with pytest.raises(Exception, match="closed"):
        consumer.poll(1, 0)
