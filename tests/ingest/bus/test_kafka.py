"""Features of the bus on Kafka alone: refusals, foreign messages, partitions and size limits."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from structlog.testing import capture_logs

from ingest import schema
from ingest.bus.kafka import connection
from ingest.bus.kafka.bus import KafkaBus
from ingest.bus.protocol import Message, RecordPosition
from ingest.bus.registry import open_bus
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.frame import Frame
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from testing.waiting import wait_until
from tests.ingest.bus.kafka_bus import AT, kafka_settings, publish, read, unused_address

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic() -> str:
    return f"frames-{uuid.uuid4().hex}"


@pytest.fixture
def bus(kafka_bootstrap: str) -> Iterator[KafkaBus]:
    with closing(KafkaBus(kafka_settings(kafka_bootstrap))) as bus:
        yield bus


def test_a_missing_fast_checksum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka.record.util.crc32c_c", None)
    with pytest.raises(BusMisconfigured, match=r"kafka-python\[crc32c\]"):
        open_bus(kafka_settings("localhost:9092"))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kafka_bootstrap_servers": "broker"}, "'broker'"),
        ({"kafka_bootstrap_servers": "a:1,b:x"}, "'b:x'"),
        ({"kafka_security_protocol": "SASL_SSL"}, "kafka_sasl_mechanism"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_cafile": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_invalid_settings_are_refused_by_name(changed: dict[str, object], named: str) -> None:
    with pytest.raises(BusMisconfigured, match=named):
        KafkaBus(kafka_settings("localhost:9092", **changed))


def test_an_unreachable_kafka_is_unavailable_by_name(topic: str) -> None:
    address = unused_address()
    bus = KafkaBus(kafka_settings(address))
    with pytest.raises(BusUnavailable, match=address):
        bus.consumer(topic, "g")
    with closing(bus.publisher(topic)) as publisher, pytest.raises(BusUnavailable, match=address):
        publisher.publish(Message("s1", b"x", ()), lambda *_: None)


def test_failed_connection_attempts_leave_no_threads(topic: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        bus = KafkaBus(kafka_settings(f"127.0.0.1:{silent.getsockname()[1]}"))
        before = threading.active_count()
        with pytest.raises(BusUnavailable):
            bus.ensure_topic(topic, 3)
        assert threading.active_count() == before


def test_messages_of_other_producers_are_read_intact(bus: KafkaBus, topic: str, kafka_bootstrap: str) -> None:
    bus.ensure_topic(topic, 1)
    with closing(KafkaProducer(bootstrap_servers=kafka_bootstrap)) as foreign:
        foreign.send(topic, value=b"no key, no headers")
        foreign.flush()
        foreign.send(topic, key=b"\xff\x00", value=b"a key that is no text", headers=[("h", b"\xff"), ("h", b"")])
        foreign.flush()
        foreign.send(topic, key=b"gone", value=None)
        foreign.flush()
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 3)
    assert [(record.key, record.value, record.headers) for record in records] == [
        (None, b"no key, no headers", ()),
        ("\\xff\x00", b"a key that is no text", (("h", b"\xff"), ("h", b""))),
        ("gone", b"", ()),
    ]


class BinaryHeaderName(str):
    """A header's name as a producer of another vendor may write it."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"caf\xe9 \xe2\x82\xac\xff"


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_binary_header_name_stops_no_consumer(
    bus: KafkaBus, topic: str, kafka_bootstrap: str, compression: str | None
) -> None:
    bus.ensure_topic(topic, 1)
    with closing(KafkaProducer(bootstrap_servers=kafka_bootstrap, compression_type=compression, linger_ms=50)) as other:
        other.send(topic, key=b"s1", value=b"first", headers=[("fine", b"1")])
        other.send(
            topic, key=b"s1", value=b"odd", headers=[("before", b"2"), (BinaryHeaderName("?"), b"\xff"), ("after", b"")]
        )
        other.send(topic, key=b"s1", value=b"last")
        other.flush()
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 3)
    assert [(record.value, record.headers) for record in records] == [
        (b"first", (("fine", b"1"),)),
        (b"odd", (("before", b"2"), ("caf? €?", b"\xff"), ("after", b""))),
        (b"last", ()),
    ]
    found = bus.read(records[1].position)
    assert found == records[1]


def test_keys_are_partitioned_as_by_kafka(bus: KafkaBus, topic: str) -> None:
    """Murmur2 of these keys by Kafka's own UtilsTest.java: 21 -> -973932308, foobar -> -790332482."""
    bus.ensure_topic(topic, 7)
    positions = publish(bus, topic, Message("21", b"x", ()), Message("foobar", b"x", ()))
    expected = [(murmur2 & 0x7FFFFFFF) % 7 for murmur2 in (-973932308, -790332482)]
    assert [position.partition for position in positions if isinstance(position, RecordPosition)] == expected


def test_a_topic_with_a_lower_size_limit_refuses_larger_messages(
    bus: KafkaBus, topic: str, kafka_bootstrap: str
) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        small = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}
        admin.create_topics({topic: small}, wait_for_metadata=True)
    too_large, bystander = publish(bus, topic, Message("s1", b"x" * 5000, ()), Message("s1", b"x", ()))
    assert isinstance(too_large, MessageTooLarge)
    assert not isinstance(bystander, MessageTooLarge)
    (fine,) = publish(bus, topic, Message("s1", b"x", ()))
    assert isinstance(fine, RecordPosition)


def test_a_frame_too_large_for_the_topic_is_published_as_a_reference(
    bus: KafkaBus, topic: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        small = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "2000"}}
        admin.create_topics({topic: small}, wait_for_metadata=True)
    stored: list[bytes] = []

    class RecordingClaimChecks:
        def put(self, data: bytes) -> str:
            stored.append(data)
            return f"sha256:{len(data)}"

    settings = kafka_settings(kafka_bootstrap)
    spool = Spool(tmp_path, 10_000_000)
    with closing(Producer(bus.publisher(topic), settings, spool, RecordingClaimChecks(), lambda: AT)) as producer:
        for number in range(6):
            for station, size_bytes in (("s1", 10), ("s2", 5000), ("s3", 10)):
                producer.send(Frame(station, AT, b"x" * size_bytes, "image/png", part_id=str(number)), lambda _: None)
        producer.flush(30)
        wait_until(lambda: spool.frames == 0)
    with closing(bus.consumer(topic, "g")) as consumer:
        frames = [schema.decode(record) for record in read(consumer, 18, at_least=True)]
    assert set(stored) == {b"x" * 5000}
    for station in ("s1", "s2", "s3"):
        numbers = [frame.part_id for frame in frames if frame.station == station]
        assert list(dict.fromkeys(numbers)) == ["0", "1", "2", "3", "4", "5"]
    assert {frame.image_reference for frame in frames if frame.station == "s2"} == {"sha256:5000"}


def test_partitions_of_a_killed_member_are_reassigned_after_its_session(
    bus: KafkaBus, topic: str, kafka_bootstrap: str
) -> None:
    publish(bus, topic, *(Message(f"s{number}", b"%d" % number, ()) for number in range(12)))
    program = f"""
import sys
from ingest.bus.kafka.bus import KafkaBus
from ingest.settings import IngestSettings
bus = KafkaBus(IngestSettings(kafka_bootstrap_servers={kafka_bootstrap!r}, lease_s=6))
consumer = bus.consumer({topic!r}, "g")
records = []
while len(records) < 12:
    records += consumer.poll(100, 0.2)
print("read", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while child.stdout.readline().strip() != b"read":
            assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
    with closing(bus.consumer(topic, "g")) as survivor:
        assert sorted(int(record.value) for record in read(survivor, 12)) == list(range(12))


@pytest.mark.parametrize(
    ("servers", "protocol", "mechanism", "warnings"),
    [
        ("kafka-1:9092,127.0.0.1:9092", "SASL_PLAINTEXT", "PLAIN", 1),
        ("kafka-1:9092", "SASL_PLAINTEXT", "SCRAM-SHA-512", 0),
        ("kafka-1:9092", "SASL_SSL", "PLAIN", 0),
        ("localhost:9092,127.0.0.1:9093", "SASL_PLAINTEXT", "PLAIN", 0),
    ],
)
def test_a_password_that_travels_in_clear_is_warned_of_once(
    servers: str, protocol: str, mechanism: str, warnings: int
) -> None:
    connection.warn_of_clear_password.cache_clear()
    settings = kafka_settings(
        servers,
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="andon",
        kafka_sasl_password="hunter2",
    )
    with capture_logs() as logs:
        for _ in range(2):
            KafkaBus(settings)
    assert [entry["log_level"] for entry in logs] == ["warning"] * warnings
    assert "hunter2" not in str(logs)


def test_partitions_that_are_added_while_a_consumer_runs_are_read_within_half_a_minute(
    kafka_bootstrap: str, topic: str
) -> None:
    with closing(KafkaBus(kafka_settings(kafka_bootstrap, partitions=1))) as bus:
        publish(bus, topic, Message("s1", b"before", ()))
        with closing(bus.consumer(topic, "g")) as consumer:
            assert [record.value for record in read(consumer, 1)] == [b"before"]
            with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
                admin.create_partitions({topic: 2})
            with closing(KafkaProducer(bootstrap_servers=kafka_bootstrap)) as producer:
                producer.send(topic, b"after", partition=1).get(60)
            added_at_s = time.monotonic()
            assert [record.value for record in read(consumer, 1)] == [b"after"]
            assert time.monotonic() - added_at_s < 30
            assert consumer.group_lag() == 2  # of both partitions: nothing is committed
