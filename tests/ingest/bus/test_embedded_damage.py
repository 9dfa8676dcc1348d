"""Damage in the file of the embedded bus: each damaged record is named by its place, and all others are read."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from ingest.bus.attempts import MAX_ATTEMPTS, ReadAttempts
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.bus.protocol import Consumer, DeletedRecords, LogEntry, Message, Record, RecordPosition, UnreadableRecord
from ingest.settings import IngestSettings

TOPIC = "frames"
COUNT = 6
IMAGE_BYTES = 100_000  # some pages of the file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


@pytest.fixture
def bus(path: Path) -> Iterator[EmbeddedBus]:
    with closing(EmbeddedBus(IngestSettings(embedded_path=path, partitions=1))) as bus:
        with closing(bus.publisher(TOPIC)) as publisher:
            for number in range(COUNT):
                publisher.publish(Message("s1", value(number), (("n", b"1"),)), lambda *_: None)
            publisher.flush(30)
        yield bus


def value(number: int) -> bytes:
    return b"%d" % number * IMAGE_BYTES


@contextmanager
def file_of(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as file:
        yield file
        file.commit()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def change_row(path: Path, offset: int, column: str, sql: str) -> None:
    with file_of(path) as file:
        file.execute("PRAGMA writable_schema = ON")
        file.execute(f"UPDATE records SET {column} = {sql} WHERE offset = ?", (offset,))


def damage_pages(path: Path, offset: int) -> None:
    """Overwrite the pages that only this record's value uses, with their links to each other."""
    with file_of(path) as file:
        (page_bytes,) = file.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    mine = b"%d" % offset * 1000
    pages = [start for start in range(0, len(content), page_bytes) if mine in content[start + 4 : start + page_bytes]]
    overflow = [start for start in pages if content[start] == 0]  # others are of the table's tree
    assert overflow
    for start in overflow:
        content[start : start + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(content)


def poll(consumer: Consumer, count: int) -> list[LogEntry]:
    entries: list[LogEntry] = []
    for _ in range(20):
        entries += consumer.poll(100, 0.1)
        if len(entries) >= count:
            break
    assert len(entries) == count
    return entries


def readings(entries: Sequence[LogEntry]) -> list[tuple[int, bytes | None]]:
    return [(each.position.offset, each.value if isinstance(each, Record) else None) for each in entries]


def all_but(*damaged: int) -> list[tuple[int, bytes | None]]:
    return [(number, None if number in damaged else value(number)) for number in range(COUNT)]


@pytest.mark.parametrize(
    ("column", "sql"),
    [
        ("headers", "x'00000005'"),
        ("headers", "x''"),
        ("headers", "'text'"),
        ("headers", "x'000000010000000100000000ff'"),
        ("value", "42"),
        ("appended_us", str(2**62)),
        ("appended_us", "'noon'"),
    ],
)
def test_a_row_that_is_not_as_the_bus_writes_it_is_passed(bus: EmbeddedBus, path: Path, column: str, sql: str) -> None:
    change_row(path, 2, column, sql)
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        entries = poll(consumer, COUNT)
        assert readings(entries) == all_but(2)
        consumer.commit({(TOPIC, 0): COUNT})
        assert consumer.group_lag() == 0
    assert isinstance(entries[2], UnreadableRecord)
    assert bus.read(entries[2].position) == entries[2]


def test_a_key_that_is_no_text_costs_nothing(bus: EmbeddedBus, path: Path) -> None:
    change_row(path, 2, "key", "CAST(x'ff00' AS TEXT)")
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        entries = poll(consumer, COUNT)
    assert readings(entries) == all_but()
    assert isinstance(entries[2], Record)
    assert entries[2].key == "\\xff\0"


@pytest.mark.parametrize("offset", [0, 2, COUNT - 1])
def test_damaged_pages_cost_only_their_record(bus: EmbeddedBus, path: Path, offset: int) -> None:
    damage_pages(path, offset)
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        entries = poll(consumer, COUNT)
        assert readings(entries) == all_but(offset)
        consumer.rewind()
        assert readings(poll(consumer, COUNT)) == all_but(offset)
    assert isinstance(bus.read(RecordPosition(TOPIC, 0, offset)), UnreadableRecord)


def test_rows_that_are_missing_count_as_deleted(bus: EmbeddedBus, path: Path) -> None:
    with file_of(path) as file:
        file.execute("DELETE FROM records WHERE offset IN (1, 2, 5)")
    with closing(bus.consumer(TOPIC, "g")) as consumer:
        entries = poll(consumer, 5)
        assert [each for each in entries if isinstance(each, DeletedRecords)] == [
            DeletedRecords(RecordPosition(TOPIC, 0, 1), 2),
            DeletedRecords(RecordPosition(TOPIC, 0, 5), 1),
        ]
        assert [each.position.offset for each in entries] == [0, 1, 3, 4, 5]
        consumer.commit({(TOPIC, 0): COUNT})
        assert consumer.group_lag() == 0


def test_a_record_is_passed_after_enough_failures_and_enough_time() -> None:
    now_s = 0.0
    attempts = ReadAttempts(lambda: now_s)
    fails = partial(attempts.failed, 0, 7)
    assert [fails() for _ in range(MAX_ATTEMPTS)] == [False, False, True]
    attempts.succeeded(0)
    assert [fails(30.0) for _ in range(MAX_ATTEMPTS + 1)] == [False] * 4
    now_s = 30.0
    assert fails(30.0)
    assert not attempts.failed(0, 8)  # another offset
    assert not attempts.failed(1, 7)  # another partition
