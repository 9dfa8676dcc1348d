"""The bus goes away under a camera and a worker, for a minute by the worker's count: each frame has one verdict after.

The camera is the product's own producer with its spool.
"""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.settings import IngestSettings
from tests.parts.kafka import KafkaCluster, start_kafka
from tests.scorer.faults import camera, noticed, parts_seen, ready
from tests.scorer.line import Services, working

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.producer._LAST_RETRY_S", 0.5)


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_an_embedded_bus_that_another_program_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.bus.embedded_file.PATIENCE_S", 0.1)
    with ready(tmp_path, Services()) as line, camera(line) as send, noticed(line, "bus") as (counted, until_it_waited):
        send(0, 20)
        counted.wait_for(lambda done: done.verdicts == 20)
        with closing(sqlite3.connect(line.ingest.embedded_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            send(20, 20)
            until_it_waited()
            other.execute("ROLLBACK")
        send(40, 20)
        counted.wait_for(lambda done: done.verdicts == 60)
        assert parts_seen(line) == numbers(60)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    """One that may be killed."""
    cluster = start_kafka(tmp_path / "kafka", nodes=1, heap="384m")
    yield cluster
    cluster.stop()


@pytest.mark.kafka
def test_a_kafka_that_is_killed_is_waited_for(tmp_path: Path, own_kafka: KafkaCluster) -> None:
    """Here it waits for two tries only: one at a Kafka that is gone takes seconds in truth."""
    services = Services(kafka=own_kafka.bootstrap, kafka_away_after_s=4)  # noticed soon
    with (
        ready(tmp_path, services) as line,
        camera(line) as send,
        noticed(line, "bus", 1.5) as (counted, until_it_waited),
    ):
        send(0, 20)
        counted.wait_for(lambda done: done.verdicts == 20)
        own_kafka.nodes[0].kill()
        send(20, 20)
        until_it_waited()
        own_kafka.start()
        send(40, 20)
        counted.wait_for(lambda done: done.verdicts == 60)
        assert parts_seen(line) == numbers(60)


@pytest.mark.kafka
def test_one_of_three_brokers_that_is_killed_stops_nothing(tmp_path: Path, kafka_cluster: KafkaCluster) -> None:
    """The one that leads the station's partition, with the settings that ship."""
    services = Services(
        kafka_cluster.bootstrap,
        topic=f"frames-{uuid.uuid4().hex}",
        kafka_replication=3,
        kafka_away_after_s=IngestSettings().kafka_away_after_s,
    )
    with ready(tmp_path, services) as line, camera(line) as send, working(line.worker()) as counted:
        send(0, 20)
        counted.wait_for(lambda done: done.verdicts == 20)
        leading = kafka_cluster.leader(line.topic, line.verdicts("s1")[0].partition)
        leading.kill()
        try:
            send(20, 20)
            counted.wait_for(lambda done: done.verdicts == 40)
        finally:
            kafka_cluster.start()
        assert parts_seen(line) == numbers(40)
