"""A cluster of three loses a node while frames flow into a group of two: every frame is seen, in order."""

import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest import schema
from ingest.bus.kafka.bus import KafkaBus
from ingest.bus.protocol import Record, readable
from ingest.errors import BusUnavailable
from ingest.frame import Frame
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings
from testing.claim_checks import RefusingClaimChecks
from testing.services.kafka import KafkaCluster

pytestmark = pytest.mark.kafka
AT = datetime(2026, 3, 1, tzinfo=UTC)
FRAMES = 900
STATIONS = [f"s{number}" for number in range(9)]


class Member(threading.Thread):
    """Reads and commits until it is stopped."""

    def __init__(self, bus: KafkaBus, topic: str, received: threading.Condition) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.stop = threading.Event()
        self._bus = bus
        self._topic = topic
        self._seen_more = received

    def run(self) -> None:
        with closing(self._bus.consumer(self._topic, "g")) as consumer:
            while not self.stop.is_set():
                try:
                    records = readable(consumer.poll(100, 0.2))
                    with self._seen_more:
                        self.records += records
                        self._seen_more.notify_all()
                    consumer.commit({(r.position.topic, r.position.partition): r.position.offset + 1 for r in records})
                except BusUnavailable:
                    continue  # the coordinator may be the one that was killed


def test_no_frame_is_lost_when_a_node_is_killed(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    settings = IngestSettings(
        bus="kafka",
        kafka_bootstrap_servers=kafka_cluster.bootstrap,
        kafka_replication_factor=3,
        partitions=6,
        lease_s=6,
    )
    topic = f"frames-{uuid.uuid4().hex}"
    durable: list[str | None] = []
    received = threading.Condition()

    with closing(KafkaBus(settings)) as bus:
        bus.ensure_topic(topic, 6)
        members = [Member(bus, topic, received) for _ in range(2)]
        for member in members:
            member.start()
        spool = Spool(tmp_path, 100_000_000)
        with closing(Producer(bus.publisher(topic), settings, spool, RefusingClaimChecks(), lambda: AT)) as producer:
            for number in range(FRAMES):
                if number == FRAMES // 2:
                    with received:
                        assert received.wait_for(lambda: sum(len(member.records) for member in members) > 50, 60)
                    kafka_cluster.nodes[0].kill()
                frame = Frame(STATIONS[number % 9], AT, b"x" * 20_000, "image/png", part_id=str(number))
                producer.send(frame, lambda frame: durable.append(frame.part_id))

            def all_received() -> bool:
                return len({schema.decode(record).part_id for member in members for record in member.records}) == FRAMES

            with received:
                received_all = received.wait_for(all_received, 120)
        for member in members:
            member.stop.set()
        for member in members:
            member.join(60)
    kafka_cluster.start()

    assert received_all
    assert sorted(map(int, filter(None, durable))) == list(range(FRAMES))
    by_position = {record.position: record for member in members for record in member.records}
    for station in STATIONS:
        of_station = [by_position[position] for position in sorted(by_position) if by_position[position].key == station]
        numbers = list(dict.fromkeys(int(schema.decode(record).part_id or -1) for record in of_station))
        assert numbers == sorted(numbers)
