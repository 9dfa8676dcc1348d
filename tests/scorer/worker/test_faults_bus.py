"""The bus is unavailable to a camera and a worker for a minute: each frame has one verdict afterwards.

The camera is the product's own producer with its spool. An embedded bus is unavailable for a minute by the worker's
count of its waits. A Kafka's outage lasts a real minute, for kafka-python waits by a clock of its own.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.settings import IngestSettings
from testing.kafka import KafkaCluster, start_kafka
from testing.line import Services, running
from tests.scorer.worker.faults import A_MINUTE_S, AS_THEY_SHIP, camera, noticed, parts_seen, ready

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.producer.producer._MAX_RETRY_S", 0.5)


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_an_embedded_bus_that_another_program_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.bus.embedded.database.LOCK_TIMEOUT_S", 0.1)
    with ready(tmp_path, Services()) as line, camera(line) as send, noticed(line, "bus") as (progress, until_it_waited):
        send(0, 20)
        progress.wait_for(lambda done: done.verdicts == 20)
        with closing(sqlite3.connect(line.ingest.embedded_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            send(20, 20)
            until_it_waited()
            other.execute("ROLLBACK")
        send(40, 20)
        progress.wait_for(lambda done: done.verdicts == 60)
        assert parts_seen(line) == numbers(60)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    """A Kafka that may be killed."""
    cluster = start_kafka(tmp_path / "kafka", nodes=1, heap="384m")
    yield cluster
    cluster.stop()


@pytest.mark.kafka
@pytest.mark.postgres
def test_a_kafka_that_is_killed_for_a_minute_is_waited_for(
    tmp_path: Path, own_kafka: KafkaCluster, postgres_url: str
) -> None:
    """With the default waits; a part passes the camera every second, and the worker reports what it waits for."""
    services = Services(
        own_kafka.bootstrap, postgres_url, kafka_unavailable_after_s=IngestSettings().kafka_unavailable_after_s
    )
    every_second = threading.Event()
    with ready(tmp_path, services) as line, camera(line) as send:
        line.settings = line.settings.model_copy(update=AS_THEY_SHIP)
        worker = line.worker()
        with running(worker) as progress:
            send(0, 20)
            progress.wait_for(lambda done: done.verdicts == 20)
            own_kafka.nodes[0].kill()
            back_s, sent = time.monotonic() + A_MINUTE_S, 20
            while time.monotonic() < back_s:
                send(sent, 1)
                sent += 1
                every_second.wait(1)
            assert [said[:19] for said in worker.health()] == ["Waiting for the bus"]
            assert progress.latest.verdicts == 20
            own_kafka.start()
            send(sent, 20)
            progress.wait_for(lambda done: done.verdicts == sent + 20)
            assert parts_seen(line) == numbers(sent + 20)


@pytest.mark.kafka
def test_one_of_three_brokers_that_is_killed_stops_nothing(tmp_path: Path, kafka_cluster: KafkaCluster) -> None:
    """The leader of the station's partition is killed, with the default settings."""
    services = Services(
        kafka_cluster.bootstrap,
        topic=f"frames-{uuid.uuid4().hex}",
        kafka_replication_factor=3,
        kafka_unavailable_after_s=IngestSettings().kafka_unavailable_after_s,
    )
    with ready(tmp_path, services) as line, camera(line) as send, running(line.worker()) as progress:
        send(0, 20)
        progress.wait_for(lambda done: done.verdicts == 20)
        leading = kafka_cluster.leader(line.topic, line.verdicts("s1")[0].partition)
        leading.kill()
        try:
            send(20, 20)
            progress.wait_for(lambda done: done.verdicts == 40)
        finally:
            kafka_cluster.start()
        assert parts_seen(line) == numbers(40)
