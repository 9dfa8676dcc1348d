"""Damage in the log of a real Kafka, and what other clients may send: all that can be read is read."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from ingest.bus.kafka.bus import KafkaBus
from ingest.bus.protocol import Consumer, LogEntry, Record, RecordPosition, UnreadableRecord
from ingest.settings import IngestSettings
from testing.services.kafka import KafkaCluster
from tests.ingest.bus.kafka_log import (
    ATTRIBUTES_AT,
    CODECS,
    HEADER_BYTES,
    LAST_DELTA_AT,
    LENGTH_AT,
    Damage,
    checksummed,
    damage_segment,
    flip,
    put,
)

pytestmark = pytest.mark.kafka


@pytest.fixture
def bus(kafka_bootstrap: str) -> Iterator[KafkaBus]:
    settings = IngestSettings(bus="kafka", kafka_bootstrap_servers=kafka_bootstrap, partitions=1)
    with closing(KafkaBus(settings)) as bus:
        yield bus


@pytest.fixture
def topic(bus: KafkaBus) -> str:
    name = f"frames-{uuid.uuid4().hex}"
    bus.ensure_topic(name, 1)
    return name


def publish(bootstrap: str, topic: str, batches: list[list[bytes]], compression: str | None = None) -> None:
    """Publish values, each list as one batch."""
    with closing(
        KafkaProducer(bootstrap_servers=bootstrap, compression_type=compression, linger_ms=60_000, batch_size=1_000_000)
    ) as producer:
        for values in batches:
            for value in values:
                producer.send(topic, key=b"s1", value=value, partition=0)
            producer.flush(30)


def segment(cluster: KafkaCluster, topic: str) -> Path:
    return cluster.nodes[0].folder / "log" / f"{topic}-0" / "00000000000000000000.log"


def read(consumer: Consumer, count: int) -> list[LogEntry]:
    entries: list[LogEntry] = []
    for _ in range(200):
        entries += consumer.poll(100, 0.2)
        if len(entries) >= count:
            break
    assert len(entries) == count
    return entries


def readings(entries: list[LogEntry]) -> list[tuple[int, bytes | None]]:
    return [(each.position.offset, each.value if isinstance(each, Record) else None) for each in entries]


INDEX_INTERVAL_BYTES = 4096  # a broker finds a batch by its index where the one before is damaged
BATCHES = [[b"0", b"1"], [b"2", b"3", b"4"], [b"5"]]
ALL = [(number, b"%d" % number) for number in range(6)]
WITHOUT_THE_MIDDLE = [(number, None if 2 <= number <= 4 else value) for number, value in ALL]


@pytest.mark.parametrize("compression", CODECS)
def test_every_codec_of_a_producer_is_read(bus: KafkaBus, topic: str, kafka_bootstrap: str, compression: str) -> None:
    publish(kafka_bootstrap, topic, BATCHES, compression)
    with closing(bus.consumer(topic, "g")) as consumer:
        entries = read(consumer, 6)
    assert readings(entries) == ALL
    assert bus.read(entries[3].position) == entries[3]


@pytest.mark.parametrize("compression", CODECS)
def test_every_codec_of_a_topic_is_read(bus: KafkaBus, kafka_bootstrap: str, compression: str) -> None:
    topic = f"frames-{uuid.uuid4().hex}"
    with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        configs = {"compression.type": compression}
        made = {"num_partitions": 1, "replication_factor": 1, "configs": configs}
        admin.create_topics({topic: made}, wait_for_metadata=True)
    publish(kafka_bootstrap, topic, [[bytes(10_000)] * 3])
    with closing(bus.consumer(topic, "g")) as consumer:
        assert readings(read(consumer, 3)) == [(number, bytes(10_000)) for number in range(3)]


@pytest.mark.parametrize(
    "damage",
    [
        flip(-3),
        put(LAST_DELTA_AT, b"\x00\x7f\xff\xff"),
        put(HEADER_BYTES, b"\xff" * 12),
        checksummed(put(ATTRIBUTES_AT, b"\x00\x07")),
    ],
    ids=["a value", "the header", "records", "the codec"],
)
def test_a_damaged_batch_is_passed_and_named_by_its_place(
    bus: KafkaBus, topic: str, kafka_node: KafkaCluster, damage: Damage
) -> None:
    publish(kafka_node.bootstrap, topic, BATCHES)
    damage_segment(segment(kafka_node, topic), 1, damage)
    with closing(bus.consumer(topic, "g")) as consumer:
        entries = read(consumer, 6)
        assert readings(entries) == WITHOUT_THE_MIDDLE
        consumer.commit({(topic, 0): 6})
        assert consumer.group_lag() == 0
    assert isinstance(entries[2], UnreadableRecord)
    again = bus.read(entries[2].position)
    assert isinstance(again, UnreadableRecord)
    assert bus.read(RecordPosition(topic, 0, 5)) == entries[5]


def test_a_batch_that_the_broker_can_not_read_is_passed(bus: KafkaBus, topic: str, kafka_node: KafkaCluster) -> None:
    large = [[value * INDEX_INTERVAL_BYTES for value in batch] for batch in BATCHES]
    publish(kafka_node.bootstrap, topic, large)
    damage_segment(segment(kafka_node, topic), 1, put(LENGTH_AT, b"\xff\xff\xff\x00"))
    with closing(bus.consumer(topic, "g")) as consumer:
        entries = read(consumer, 6)
        consumer.commit({(topic, 0): 6})
        assert consumer.group_lag() == 0
    assert readings(entries) == [(n, value and value * INDEX_INTERVAL_BYTES) for n, value in WITHOUT_THE_MIDDLE]


def test_a_batch_that_the_broker_does_not_find_is_passed_after_a_while(
    bus: KafkaBus, topic: str, kafka_node: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.bus.kafka.consumer.OUTAGE_PATIENCE_S", 0)
    publish(kafka_node.bootstrap, topic, [[value * INDEX_INTERVAL_BYTES] for value in (b"0", b"1", b"2")])
    damage_segment(segment(kafka_node, topic), 1, put(LENGTH_AT, b"\x00\x7f\xff\xff"))
    with closing(bus.consumer(topic, "g")) as consumer:
        entries = read(consumer, 3)
    assert readings(entries) == [(0, b"0" * INDEX_INTERVAL_BYTES), (1, None), (2, b"2" * INDEX_INTERVAL_BYTES)]


@pytest.mark.parametrize("compression", CODECS)
def test_a_compressed_batch_that_can_not_be_expanded_is_passed(
    bus: KafkaBus, topic: str, kafka_node: KafkaCluster, compression: str
) -> None:
    publish(kafka_node.bootstrap, topic, BATCHES, compression)
    damage_segment(segment(kafka_node, topic), 1, checksummed(put(HEADER_BYTES, b"\xff" * 12)))
    with closing(bus.consumer(topic, "g")) as consumer:
        assert readings(read(consumer, 6)) == WITHOUT_THE_MIDDLE


def test_one_record_of_a_batch_that_can_not_be_read_costs_no_other(
    bus: KafkaBus, topic: str, kafka_node: KafkaCluster
) -> None:
    publish(kafka_node.bootstrap, topic, BATCHES)
    first_record_bytes = 1 + 3 + 3 + 2 + 1  # length; attributes, time and offset; key; value; number of headers
    second_key_length = HEADER_BYTES + first_record_bytes + 4
    damage_segment(segment(kafka_node, topic), 1, checksummed(put(second_key_length, b"\x7f")))
    with closing(bus.consumer(topic, "g")) as consumer:
        entries = read(consumer, 6)
    assert readings(entries) == [(number, None if number == 3 else value) for number, value in ALL]
    assert isinstance(entries[3], UnreadableRecord)
    assert b"3" in entries[3].raw


def test_a_damaged_last_record_is_passed_and_the_next_one_read(
    bus: KafkaBus, topic: str, kafka_node: KafkaCluster
) -> None:
    publish(kafka_node.bootstrap, topic, [[b"0"], [b"1"]])
    damage_segment(segment(kafka_node, topic), 1, flip(-3))
    with closing(bus.consumer(topic, "g")) as consumer:
        assert readings(read(consumer, 2)) == [(0, b"0"), (1, None)]
        publish(kafka_node.bootstrap, topic, [[b"2"]])
        assert readings(read(consumer, 1)) == [(2, b"2")]


def test_after_a_rewind_a_damaged_batch_is_passed_again(bus: KafkaBus, topic: str, kafka_node: KafkaCluster) -> None:
    publish(kafka_node.bootstrap, topic, BATCHES)
    damage_segment(segment(kafka_node, topic), 1, flip(-3))
    with closing(bus.consumer(topic, "g")) as consumer:
        first = readings(read(consumer, 6))
        consumer.rewind()
        assert readings(read(consumer, 6)) == first == WITHOUT_THE_MIDDLE


@pytest.mark.parametrize("timestamp_ms", [0, 2**62])
def test_whatever_time_a_producer_sends_the_record_is_read(
    bus: KafkaBus, kafka_bootstrap: str, timestamp_ms: int
) -> None:
    topic = f"frames-{uuid.uuid4().hex}"
    with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        configs = {"message.timestamp.after.max.ms": str(2**63 - 1)}
        made = {"num_partitions": 1, "replication_factor": 1, "configs": configs}
        admin.create_topics({topic: made}, wait_for_metadata=True)
    with closing(KafkaProducer(bootstrap_servers=kafka_bootstrap)) as producer:
        producer.send(topic, value=b"0", timestamp_ms=timestamp_ms).get(30)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert readings(read(consumer, 1)) == [(0, b"0")]


def transactional(bootstrap: str) -> KafkaProducer:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", transactional_id=uuid.uuid4().hex)
    producer.init_transactions()
    return producer


def send_in_a_transaction(producer: KafkaProducer, topic: str, values: list[bytes], *, commit: bool) -> None:
    producer.begin_transaction()
    for value in values:
        producer.send(topic, key=b"s1", value=value, partition=0)
    producer.flush()
    if commit:
        producer.commit_transaction()
    else:
        producer.abort_transaction()


def poll_until_drained(consumer: Consumer) -> list[LogEntry]:
    """Poll and commit what was read until no lag is left."""
    entries: list[LogEntry] = []
    for _ in range(200):
        polled = consumer.poll(100, 0.2)
        entries += polled
        if polled:
            last = polled[-1].position
            consumer.commit({(last.topic, last.partition): last.offset + 1})
        elif consumer.group_lag() == 0:
            return entries
    raise AssertionError(f"a lag of {consumer.group_lag()} stays")


def test_only_committed_frames_are_read_and_the_ends_of_transactions_are_no_lag(
    bus: KafkaBus, topic: str, kafka_bootstrap: str
) -> None:
    with closing(transactional(kafka_bootstrap)) as producer:
        send_in_a_transaction(producer, topic, [b"aborted"], commit=False)
        send_in_a_transaction(producer, topic, [b"committed", b"too"], commit=True)
        with closing(bus.consumer(topic, "g")) as consumer:
            entries = poll_until_drained(consumer)
        assert [value for _, value in readings(entries)] == [b"committed", b"too"]
        assert bus.read(RecordPosition(topic, 0, 0)) is None
        send_in_a_transaction(producer, topic, [b"aborted again"], commit=False)
    with closing(bus.consumer(topic, "g")) as consumer:
        assert poll_until_drained(consumer) == []
    with closing(bus.consumer(topic, "g")) as other:
        other.poll(1, 0)
        assert other.group_lag() == 0


def test_a_transaction_under_way_is_neither_read_nor_lag(bus: KafkaBus, topic: str, kafka_bootstrap: str) -> None:
    with closing(transactional(kafka_bootstrap)) as producer:
        producer.begin_transaction()
        producer.send(topic, key=b"s1", value=b"later", partition=0)
        producer.flush()
        with closing(bus.consumer(topic, "g")) as consumer:
            assert poll_until_drained(consumer) == []
            producer.commit_transaction()
            assert readings(read(consumer, 1)) == [(0, b"later")]


def test_what_was_read_and_not_committed_stays_lag_behind_the_end_of_its_transaction(
    bus: KafkaBus, topic: str, kafka_bootstrap: str
) -> None:
    with closing(transactional(kafka_bootstrap)) as producer:
        send_in_a_transaction(producer, topic, [b"0"], commit=True)
    with closing(bus.consumer(topic, "g")) as consumer:
        read(consumer, 1)
        for _ in range(3):
            assert consumer.poll(100, 0.2) == []
        assert consumer.group_lag() == 2
        consumer.rewind()
        assert readings(read(consumer, 1)) == [(0, b"0")]
