"""A Kafka with TLS and passwords that is stopped and restarted."""

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from andon import logging_setup
from ingest import schema
from ingest.bus.kafka.bus import KafkaBus
from ingest.bus.protocol import Message
from ingest.errors import BusMisconfigured, BusUnavailable
from ingest.frame import Frame
from ingest.producer import producer as producer_module
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings
from testing.claim_checks import RefusingClaimChecks
from testing.services.certificates import self_signed
from testing.services.kafka import KafkaCluster, start_kafka
from testing.waiting import wait_until
from tests.ingest.bus.kafka_bus import AT, kafka_settings, publish, read

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic() -> str:
    return f"frames-{uuid.uuid4().hex}"


SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


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
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{SCRAM_LOGIN} required;",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} user_andon="right";',
        },
        users=["SCRAM-SHA-512=[name=andon,password=right]"],
    )
    yield cluster, certificate
    cluster.stop()


def secured_settings(secured: tuple[KafkaCluster, Path], password: str, mechanism: str = "PLAIN") -> IngestSettings:
    cluster, certificate = secured
    return kafka_settings(
        f"127.0.0.1:{cluster.nodes[0].secure_port}",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="andon",
        kafka_sasl_password=SecretStr(password),
        kafka_ssl_cafile=certificate,
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_tls_and_passwords_are_used(secured: tuple[KafkaCluster, Path], topic: str, mechanism: str) -> None:
    with closing(KafkaBus(secured_settings(secured, "right", mechanism))) as bus:
        publish(bus, topic, Message("s1", b"in secret", ()))
        with closing(bus.consumer(topic, "g")) as consumer:
            assert [record.value for record in read(consumer, 1)] == [b"in secret"]


@pytest.fixture
def _configured_logging() -> Iterator[None]:
    """What each command sets up, which turns kafka-python's log lines off."""
    levels = {name: logging.getLogger(name).level for name in logging_setup.LIBRARY_LEVELS}
    for name, level in logging_setup.LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("_configured_logging")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_a_configuration_error(
    secured: tuple[KafkaCluster, Path], topic: str, mechanism: str
) -> None:
    with closing(KafkaBus(secured_settings(secured, "wrong", mechanism))) as bus:
        with pytest.raises(BusMisconfigured, match="SaslAuthenticationFailed") as caught:
            bus.consumer(topic, "g")
        assert "wrong" not in str(caught.value)


def test_an_untrusted_certificate_is_named_as_the_cause(secured: tuple[KafkaCluster, Path]) -> None:
    """In a process of its own, since kafka-python leaves the sockets of failed handshakes to the garbage collector."""
    program = f"""
from andon import logging_setup
from ingest.bus.kafka.bus import KafkaBus
from ingest.settings import IngestSettings
logging_setup.configure("info", "text")
settings = IngestSettings.model_validate_json({secured_settings(secured, "right").model_dump_json()!r})
try:
    KafkaBus(settings.model_copy(update={{"kafka_ssl_cafile": None}})).consumer("t", "g")
except Exception as error:
    print(type(error).__name__, error)
"""
    stdout = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert stdout.splitlines()[-1].startswith("BusUnavailable")
    assert "CERTIFICATE_VERIFY_FAILED" in stdout


def test_frames_are_spooled_during_an_outage_and_published_afterwards(
    secured: tuple[KafkaCluster, Path], topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "_MAX_RETRY_S", 0.5)
    cluster, _ = secured
    settings = kafka_settings(cluster.bootstrap, kafka_unavailable_after_s=4)
    durable: list[str | None] = []
    bus = KafkaBus(settings)
    producer = Producer(bus.publisher(topic), settings, Spool(tmp_path, 100_000_000), RefusingClaimChecks(), lambda: AT)

    def send(*numbers: int) -> None:
        for number in numbers:
            frame = Frame("s1", AT, b"image", "image/png", part_id=str(number))
            producer.send(frame, lambda frame: durable.append(frame.part_id))

    with closing(bus), closing(producer), closing(bus.consumer(topic, "g")) as consumer:
        send(0, 1, 2)
        read(consumer, 3)
        cluster.nodes[0].kill()
        send(3, 4, 5)
        with pytest.raises(BusUnavailable):
            wait_until(lambda: consumer.poll(100, 0.2))
        wait_until(lambda: len(durable) == 6)
        assert any("Kafka" in reason for reason in producer.health())
        cluster.start()
        send(6)
        wait_until(lambda: producer.health() == [])
        consumer.rewind()
        records = read(consumer, 7)
    numbers = [schema.decode(record).part_id for record in records]
    assert list(dict.fromkeys(numbers)) == ["0", "1", "2", "3", "4", "5", "6"]
