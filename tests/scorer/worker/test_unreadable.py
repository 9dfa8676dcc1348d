"""Records that the bus can't read, and those that it deleted unread: a worker passes them, counts them and drains."""

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from prometheus_client import REGISTRY

from ingest import schema
from ingest.bus.protocol import readable
from ingest.frame import Frame, mint_frame_id
from scorer.worker.progress import Progress
from storage.line import drops
from storage.line.dead_letters import UNREADABLE
from testing.line import START, Line, Services, encoded, part
from testing.services.kafka import KafkaCluster
from tests.ingest.bus.kafka_log import damage_segment, flip
from tests.scorer.worker.faults import ready_line, verdict_frame_ids

pytestmark = pytest.mark.usefixtures("one_thread")

Act = Callable[[Line, int], None]


def partition_of(line: Line) -> int:
    """Return the partition of the station s1, by the verdict on its first frame."""
    return line.verdicts("s1")[0].partition


@pytest.fixture
def damage(services: Services, request: pytest.FixtureRequest) -> Act:
    """Damage the record at an offset of the partition of s1."""
    if services.kafka is None:

        def change_row(line: Line, offset: int) -> None:
            with closing(sqlite3.connect(line.ingest.embedded_path)) as file, file:
                file.execute("UPDATE records SET headers = x'00' WHERE offset = ?", (offset,))

        return change_row
    cluster: KafkaCluster = request.getfixturevalue("kafka_node")

    def change_segment(line: Line, offset: int) -> None:
        folder = cluster.nodes[0].folder / "log" / f"{line.topic}-{partition_of(line)}"
        damage_segment(folder / "00000000000000000000.log", offset, flip(-3))

    return change_segment


@pytest.fixture
def delete_before(services: Services) -> Act:
    """Delete the records before an offset of the partition of s1."""
    if services.kafka is None:

        def delete(line: Line, offset: int) -> None:
            with closing(sqlite3.connect(line.ingest.embedded_path)) as file, file:
                file.execute("DELETE FROM records WHERE offset < ?", (offset,))
                where = (offset, partition_of(line))
                file.execute("UPDATE partitions SET first_offset = ? WHERE partition = ?", where)

        return delete
    bootstrap = services.kafka

    def delete_records(line: Line, offset: int) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
            admin.delete_records({TopicPartition(line.topic, partition_of(line)): offset})

    return delete_records


def test_a_record_that_can_not_be_read_is_a_dead_letter_and_stops_nobody(line: Line, damage: Act) -> None:
    published = line.publish_parts("s1", 1)
    line.drain()
    published += line.publish_parts("s1", 5)
    damage(line, 3)
    progress = line.drain()
    assert (progress.frames, progress.verdicts, progress.dead_letters) == (5, 4, 1)
    assert verdict_frame_ids(line) == [*published[:3], *published[4:]]
    (letter,) = line.dead_letters()
    assert (letter.reason, letter.topic, letter.offset) == (UNREADABLE, line.topic, 3)
    assert letter.partition == partition_of(line)
    assert line.images.get(letter.payload_reference) is not None
    assert line.drain() == Progress()


def test_frames_that_were_deleted_unread_are_counted_and_told(line: Line, delete_before: Act) -> None:
    line.publish_parts("s1", 1)
    line.drain()
    published = line.publish_parts("s1", 7)
    delete_before(line, 6)
    counted = REGISTRY.get_sample_value("andon_frames_deleted_unread_total") or 0
    progress = line.drain()
    assert (progress.deleted, progress.frames, progress.verdicts) == (5, 2, 2)
    assert verdict_frame_ids(line)[1:] == published[5:]
    assert REGISTRY.get_sample_value("andon_frames_deleted_unread_total") == counted + 5
    with line.database.read() as session:
        assert drops.totals_since(session, START)[drops.NO_STATION].frames == 5
    assert line.drain() == Progress()


@pytest.mark.kafka
@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_frames_of_a_producer_that_compresses_are_scored(
    tmp_path: Path, kafka_bootstrap: str, compression: str
) -> None:
    services = Services(kafka_bootstrap, topic=f"frames-{uuid.uuid4().hex}")
    with ready_line(tmp_path, services) as line, ready_line(tmp_path / "source", Services()) as source:
        published = source.publish_parts("s1", 4)
        with (
            closing(source.bus.consumer(source.topic, "copy")) as consumer,
            closing(KafkaProducer(bootstrap_servers=kafka_bootstrap, compression_type=compression)) as producer,
        ):
            for record in readable(consumer.poll(10, 5.0)):
                producer.send(line.topic, key=b"s1", value=record.value, headers=list(record.headers))
            producer.flush(30)
        assert line.drain().verdicts == 4
        assert verdict_frame_ids(line) == published


@pytest.mark.kafka
def test_a_drain_ends_behind_a_transactional_producer_and_scores_no_aborted_frame(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    services = Services(kafka_bootstrap, topic=f"frames-{uuid.uuid4().hex}")
    with ready_line(tmp_path, services) as line:
        aborted, committed = (Frame("s1", START, encoded(part(number)), "image/png") for number in range(2))
        frame_ids = [mint_frame_id(frame) for frame in (aborted, committed)]
        producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", transactional_id=uuid.uuid4().hex)
        with closing(producer):
            producer.init_transactions()
            for frame, frame_id, end in (
                (aborted, frame_ids[0], producer.abort_transaction),
                (committed, frame_ids[1], producer.commit_transaction),
            ):
                message = schema.encode(frame, frame_id, START, None)
                producer.begin_transaction()
                producer.send(line.topic, key=b"s1", value=message.value, headers=list(message.headers))
                producer.flush()
                end()
        progress = line.drain()
        assert (progress.frames, progress.verdicts) == (1, 1)
        assert verdict_frame_ids(line) == frame_ids[1:]
        assert line.drain() == Progress()


@pytest.mark.postgres
def test_a_line_works_through_a_pgbouncer_in_transaction_mode(tmp_path: Path, pgbouncer_url: str) -> None:
    with ready_line(tmp_path, Services(database_url=pgbouncer_url)) as line:
        published = line.publish_parts("s1", 30)
        assert line.drain().verdicts == 30
        assert verdict_frame_ids(line) == published
