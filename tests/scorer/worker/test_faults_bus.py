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
from testing.line import Services, running
from testing.services.kafka import KafkaCluster, start_kafka
from tests.scorer.worker.faults import (
    A_MINUTE_S,
    DEFAULT_RETRY_SETTINGS,
    ready_line,
    running_camera,
    verdict_part_ids,
    worker_waiting_for,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.producer.producer._MAX_RETRY_S", 0.5)


def part_ids(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_the_worker_waits_for_a_locked_embedded_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.bus.embedded.database.LOCK_TIMEOUT_S", 0.1)
    with (
        ready_line(tmp_path, Services()) as line,
        running_camera(line) as send,
        worker_waiting_for(line, "bus") as (progress, wait_until_reported),
    ):
        send(0, 20)
        progress.wait_for(lambda done: done.verdicts == 20)
        with closing(sqlite3.connect(line.ingest.embedded_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            send(20, 20)
            wait_until_reported()
            other.execute("ROLLBACK")
        send(40, 20)
        progress.wait_for(lambda done: done.verdicts == 60)
        assert verdict_part_ids(line) == part_ids(60)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    """A Kafka that may be killed."""
    cluster = start_kafka(tmp_path / "kafka", nodes=1, heap="384m")
    yield cluster
    cluster.stop()


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_worker_waits_for_a_kafka_killed_for_a_minute(
    tmp_path: Path, own_kafka: KafkaCluster, postgres_url: str
) -> None:
    """With the default waits; a part passes the camera every second, and the worker reports what it waits for."""
    services = Services(
        own_kafka.bootstrap, postgres_url, kafka_unavailable_after_s=IngestSettings().kafka_unavailable_after_s
    )
    every_second = threading.Event()
    with ready_line(tmp_path, services) as line, running_camera(line) as send:
        line.settings = line.settings.model_copy(update=DEFAULT_RETRY_SETTINGS)
        worker = line.worker()
        with running(worker) as progress:
            send(0, 20)
            progress.wait_for(lambda done: done.verdicts == 20)
            own_kafka.nodes[0].kill()
            restart_at_s, sent = time.monotonic() + A_MINUTE_S, 20
            while time.monotonic() < restart_at_s:
                send(sent, 1)
                sent += 1
                every_second.wait(1)
            assert [reason[:19] for reason in worker.health()] == ["Waiting for the bus"]
            assert progress.latest.verdicts == 20
            own_kafka.start()
            send(sent, 20)
            progress.wait_for(lambda done: done.verdicts == sent + 20)
            assert verdict_part_ids(line) == part_ids(sent + 20)


@pytest.mark.kafka
def test_killing_one_of_three_brokers_stops_nothing(tmp_path: Path, kafka_cluster: KafkaCluster) -> None:
    """The leader of the station's partition is killed, with the default settings."""
    services = Services(
        kafka_cluster.bootstrap,
        topic=f"frames-{uuid.uuid4().hex}",
        kafka_replication_factor=3,
        kafka_unavailable_after_s=IngestSettings().kafka_unavailable_after_s,
    )
    with ready_line(tmp_path, services) as line, running_camera(line) as send, running(line.worker()) as progress:
        send(0, 20)
        progress.wait_for(lambda done: done.verdicts == 20)
        leader = kafka_cluster.leader(line.topic, line.verdicts("s1")[0].partition)
        leader.kill()
        try:
            send(20, 20)
            progress.wait_for(lambda done: done.verdicts == 40)
        finally:
            kafka_cluster.start()
        assert verdict_part_ids(line) == part_ids(40)
