"""Features of the bus on Kafka alone: refusals, foreign messages, TLS with passwords, brokers that stop and restart."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from pydantic import SecretStr

from ingest import schema
from ingest.bus.kafka.bus import KafkaBus
from ingest.bus.protocol import Consumer, Message, Record, RecordPosition
from ingest.bus.registry import open_bus
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.frame import Frame
from ingest.producer import producer as producer_module
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings
from testing.certificates import self_signed
from testing.kafka import KafkaCluster, start_kafka

pytestmark = pytest.mark.kafka
AT = datetime(2026, 3, 1, tzinfo=UTC)


def kafka_settings(bootstrap: str, **changed: object) -> IngestSettings:
    return IngestSettings.model_validate(
        {"bus": "kafka", "kafka_bootstrap_servers": bootstrap, "partitions": 3} | changed
    )


@pytest.fixture
def topic() -> str:
    return f"frames-{uuid.uuid4().hex}"


@pytest.fixture
def bus(kafka_bootstrap: str) -> Iterator[KafkaBus]:
    with closing(KafkaBus(kafka_settings(kafka_bootstrap))) as bus:
        yield bus


def publish(bus: KafkaBus, topic: str, *messages: Message) -> list[RecordPosition | Exception | None]:
    """Publish and wait; return each message's position or error."""
    outcomes: dict[int, RecordPosition | Exception | None] = {}

    def on_delivery(index: int, position: RecordPosition | None, error: Exception | None) -> None:
        outcomes[index] = position or error

    with closing(bus.publisher(topic)) as publisher:
        for index, message in enumerate(messages):
            publisher.publish(message, partial(on_delivery, index))
        publisher.flush(30)
    return [outcomes[index] for index in range(len(messages))]


def read(consumer: Consumer, count: int, *, at_least: bool = False) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 40
    while len(records) < count and time.monotonic() < deadline:
        records += consumer.poll(100, 0.2)
    assert len(records) >= count if at_least else len(records) == count
    return records


def until(condition: Callable[[], object], within_s: float = 60) -> None:
    waiting = threading.Condition()
    deadline = time.monotonic() + within_s
    with waiting:
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            waiting.wait(0.05)


def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_without_the_fast_checksum_it_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_settings_that_can_not_work_are_refused_at_once(changed: dict[str, object], named: str) -> None:
    with pytest.raises(BusMisconfigured, match=named):
        KafkaBus(kafka_settings("localhost:9092", **changed))


def test_a_kafka_that_is_not_there_is_unavailable_by_name(topic: str) -> None:
    nobody = closed_port()
    bus = KafkaBus(kafka_settings(nobody))
    with pytest.raises(BusUnavailable, match=f"can't be reached at {nobody}"):
        bus.consumer(topic, "g")
    with closing(bus.publisher(topic)) as publisher, pytest.raises(BusUnavailable, match=nobody):
        publisher.publish(Message("s1", b"x", ()), lambda *_: None)


def test_no_threads_are_left_by_attempts_that_fail(topic: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        bus = KafkaBus(kafka_settings(f"127.0.0.1:{silent.getsockname()[1]}"))
        before = threading.active_count()
        with pytest.raises(BusUnavailable):
            bus.ensure_topic(topic, 3)
        assert threading.active_count() == before


def test_foreign_messages_come_through_intact(bus: KafkaBus, topic: str, kafka_bootstrap: str) -> None:
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


class Odd(str):
    """A header's name as a producer of another vendor may write it."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"caf\xe9 \xe2\x82\xac\xff"


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_header_whose_name_is_no_text_stops_nobody(
    bus: KafkaBus, topic: str, kafka_bootstrap: str, compression: str | None
) -> None:
    bus.ensure_topic(topic, 1)
    with closing(KafkaProducer(bootstrap_servers=kafka_bootstrap, compression_type=compression, linger_ms=50)) as other:
        other.send(topic, key=b"s1", value=b"first", headers=[("fine", b"1")])
        other.send(topic, key=b"s1", value=b"odd", headers=[("before", b"2"), (Odd("?"), b"\xff"), ("after", b"")])
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


def test_stations_go_where_kafkas_own_partitioner_sends_them(bus: KafkaBus, topic: str) -> None:
    """Murmur2 of these keys by Kafka's own UtilsTest.java: 21 -> -973932308, foobar -> -790332482."""
    bus.ensure_topic(topic, 7)
    placed = publish(bus, topic, Message("21", b"x", ()), Message("foobar", b"x", ()))
    expected = [(murmur2 & 0x7FFFFFFF) % 7 for murmur2 in (-973932308, -790332482)]
    assert [position.partition for position in placed if isinstance(position, RecordPosition)] == expected


def test_a_topic_made_by_others_may_take_less(bus: KafkaBus, topic: str, kafka_bootstrap: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        small = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}
        admin.create_topics({topic: small}, wait_for_metadata=True)
    too_large, bystander = publish(bus, topic, Message("s1", b"x" * 5000, ()), Message("s1", b"x", ()))
    assert isinstance(too_large, MessageTooLarge)
    assert not isinstance(bystander, MessageTooLarge)
    (fine,) = publish(bus, topic, Message("s1", b"x", ()))
    assert isinstance(fine, RecordPosition)


def test_a_frame_too_large_for_the_topic_goes_as_a_reference_and_no_other_is_lost(
    bus: KafkaBus, topic: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        small = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "2000"}}
        admin.create_topics({topic: small}, wait_for_metadata=True)
    kept: list[bytes] = []

    class KeepsAll:
        def put(self, data: bytes) -> str:
            kept.append(data)
            return f"sha256:{len(data)}"

    settings = kafka_settings(kafka_bootstrap)
    spool = Spool(tmp_path, 10_000_000)
    with closing(Producer(bus.publisher(topic), settings, spool, KeepsAll(), lambda: AT)) as producer:
        for number in range(6):
            for station, size_bytes in (("s1", 10), ("s2", 5000), ("s3", 10)):
                producer.send(Frame(station, AT, b"x" * size_bytes, "image/png", part_id=str(number)), lambda _: None)
        producer.flush(30)
        until(lambda: spool.frames == 0)
    with closing(bus.consumer(topic, "g")) as consumer:
        frames = [schema.decode(record) for record in read(consumer, 18, at_least=True)]
    assert set(kept) == {b"x" * 5000}
    for station in ("s1", "s2", "s3"):
        numbers = [frame.part_id for frame in frames if frame.station == station]
        assert list(dict.fromkeys(numbers)) == ["0", "1", "2", "3", "4", "5"]
    assert {frame.image_reference for frame in frames if frame.station == "s2"} == {"sha256:5000"}


def test_a_killed_members_share_moves_after_its_session(bus: KafkaBus, topic: str, kafka_bootstrap: str) -> None:
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


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaCluster, Path]]:
    """A Kafka of its own that may be killed, also listening with TLS and passwords; and its certificate."""
    folder = tmp_path_factory.mktemp("secured-kafka")
    certificate, key = self_signed(folder)
    (folder / "both.pem").write_text(key.read_text() + certificate.read_text())
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    cluster = start_kafka(
        folder / "node",
        nodes=1,
        heap="384m",
        extra={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": folder / "both.pem",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} user_andon="right";',
        },
    )
    yield cluster, certificate
    cluster.stop()


def secured_settings(secured: tuple[KafkaCluster, Path], password: str) -> IngestSettings:
    cluster, certificate = secured
    return kafka_settings(
        f"127.0.0.1:{cluster.nodes[0].secure_port}",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="andon",
        kafka_sasl_password=SecretStr(password),
        kafka_ssl_cafile=certificate,
    )


def test_tls_and_passwords_are_passed_through(secured: tuple[KafkaCluster, Path], topic: str) -> None:
    with closing(KafkaBus(secured_settings(secured, "right"))) as bus:
        publish(bus, topic, Message("s1", b"in secret", ()))
        with closing(bus.consumer(topic, "g")) as consumer:
            assert [record.value for record in read(consumer, 1)] == [b"in secret"]


def test_a_wrong_password_is_no_outage(secured: tuple[KafkaCluster, Path], topic: str) -> None:
    with closing(KafkaBus(secured_settings(secured, "wrong"))) as bus:
        with pytest.raises(BusMisconfigured, match="SaslAuthenticationFailed") as caught:
            bus.consumer(topic, "g")
        assert "wrong" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_named_as_the_cause(secured: tuple[KafkaCluster, Path]) -> None:
    """In a process of its own, since kafka-python leaves the sockets of failed handshakes to the garbage collector."""
    program = f"""
from ingest.bus.kafka.bus import KafkaBus
from ingest.settings import IngestSettings
settings = IngestSettings.model_validate_json({secured_settings(secured, "right").model_dump_json()!r})
try:
    KafkaBus(settings.model_copy(update={{"kafka_ssl_cafile": None}})).consumer("t", "g")
except Exception as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].startswith("BusUnavailable")
    assert "CERTIFICATE_VERIFY_FAILED" in said


class NoClaimChecks:
    def put(self, data: bytes) -> str:
        raise AssertionError("nothing here is that large")


def test_an_outage_is_noticed_spooled_through_and_recovered_from(
    secured: tuple[KafkaCluster, Path], topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "_MAX_RETRY_S", 0.5)
    cluster, _ = secured
    settings = kafka_settings(cluster.bootstrap, kafka_unavailable_after_s=4)
    durable: list[str | None] = []
    bus = KafkaBus(settings)
    producer = Producer(bus.publisher(topic), settings, Spool(tmp_path, 100_000_000), NoClaimChecks(), lambda: AT)

    def send(*numbers: int) -> None:
        for number in numbers:
            frame = Frame("s1", AT, b"image", "image/png", part_id=str(number))
            producer.send(frame, lambda frame: durable.append(frame.part_id))

    with closing(bus), closing(producer), closing(bus.consumer(topic, "g")) as consumer:
        send(0, 1, 2)
        read(consumer, 3)
        cluster.nodes[0].kill()
        send(3, 4, 5)
        with pytest.raises(BusUnavailable, match="has not answered"):
            until(lambda: consumer.poll(100, 0.2))
        until(lambda: len(durable) == 6)
        assert any("Kafka" in reason for reason in producer.health())
        cluster.start()
        send(6)
        until(lambda: producer.health() == [])
        consumer.rewind()
        records = read(consumer, 7)
    numbers = [schema.decode(record).part_id for record in records]
    assert list(dict.fromkeys(numbers)) == ["0", "1", "2", "3", "4", "5", "6"]
