"""Whatever is damaged in a fetch, each offset is passed exactly once, and no record is lost that can be read."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.record.memory_records import MemoryRecords

from ingest.bus.attempts import MAX_ATTEMPTS, ReadAttempts
from ingest.bus.kafka.decompression import DecompressionFailed, decompress
from ingest.bus.kafka.fetched_records import ResilientRecords, UnreadableEntry
from tests.ingest.bus.kafka_log import (
    ATTRIBUTES_AT,
    CODECS,
    COUNT_AT,
    HEADER_BYTES,
    LAST_DELTA_AT,
    Damage,
    batch,
    checksummed,
    flip,
    put,
)

PARTITION = TopicPartition("frames", 0)
SIZES = (2, 3, 1)  # records of the three batches: offsets 0-1, 2-4 and 5
OFFSETS = list(range(6))
MIDDLE = [2, 3, 4]


def log(codec: int = 0) -> list[bytes]:
    return [
        batch(start, [b"%d" % offset * 9 for offset in range(start, start + size)], codec)
        for start, size in zip((0, 2, 5), SIZES, strict=True)
    ]


def with_middle(damage: Damage, codec: int = 0) -> list[bytes]:
    first, middle, last = log(codec)
    changed = bytearray(middle)
    damage(changed)
    return [first, bytes(changed), last]


def read(batches: Sequence[bytes], at_once: int = 100, fetch_bytes: int = 1_000_000) -> list[tuple[int, bytes | None]]:
    """Fetch as from a broker, which begins at the batch that has the offset; return offsets, and values or None."""
    attempts, offset = ReadAttempts(), 0
    found: list[tuple[int, bytes | None]] = []
    for _ in range(100):
        if offset >= len(OFFSETS):
            return found
        first = next(number for number, last in enumerate((1, 4, 5)) if last >= offset)
        fetched = b"".join(batches[first:])[: max(fetch_bytes, len(batches[first]))]
        records = ResilientRecords(attempts, len(OFFSETS), offset, PARTITION, MemoryRecords(fetched))
        while records.record_iterator is not None:
            found += [
                (each.offset, None if isinstance(each, UnreadableEntry) else each.value)
                for each in records.take(at_once)
            ]
        offset = records.next_fetch_offset
    raise AssertionError(f"it stays at offset {offset} after {found}")


def offsets(found: Sequence[tuple[int, bytes | None]]) -> list[int]:
    return [offset for offset, _ in found]


def unreadable(found: Sequence[tuple[int, bytes | None]]) -> list[int]:
    return [offset for offset, value in found if value is None]


@pytest.mark.parametrize("codec", [0, *CODECS.values()])
def test_what_is_not_damaged_is_read(codec: int) -> None:
    found = read(log(codec))
    assert found == [(offset, b"%d" % offset * 9) for offset in OFFSETS]


@pytest.mark.parametrize(
    "damage",
    [
        flip(-3),
        flip(ATTRIBUTES_AT),
        put(LAST_DELTA_AT, b"\x7f\xff\xff\xff"),
        put(LAST_DELTA_AT, b"\xff\xff\xff\xff"),
        put(COUNT_AT, b"\x7f\xff\xff\xff"),
        put(0, struct.pack(">q", 2**40)),
        put(16, b"\x80"),
        put(16, b"\x01"),
        put(HEADER_BYTES, b"\xff" * 12),
    ],
)
@pytest.mark.parametrize("fetch_bytes", [1, 1_000_000])
def test_a_batch_that_was_damaged_on_its_way_or_on_a_disk_costs_only_itself(damage: Damage, fetch_bytes: int) -> None:
    found = read(with_middle(damage), fetch_bytes=fetch_bytes)
    assert offsets(found) == OFFSETS
    assert unreadable(found) == MIDDLE


def test_a_batch_that_claims_the_place_of_the_one_before_costs_only_itself() -> None:
    found = read(with_middle(put(0, struct.pack(">q", 0))))  # the checksum does not cover the first offset
    assert offsets(found) == OFFSETS
    assert unreadable(found) == MIDDLE


def test_damage_on_the_way_costs_nothing() -> None:
    good, damaged = log(), with_middle(flip(-3))
    attempts = ReadAttempts()
    for _ in range(MAX_ATTEMPTS - 1):
        records = ResilientRecords(attempts, 6, 0, PARTITION, MemoryRecords(b"".join(damaged)))
        assert offsets([(each.offset, b"") for each in records.take(100)]) == [0, 1]
        assert records.next_fetch_offset == 2
    records = ResilientRecords(attempts, 6, 2, PARTITION, MemoryRecords(b"".join(good[1:])))
    assert [each.offset for each in records.take(100)] == [2, 3, 4, 5]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_whose_compression_is_broken_costs_only_itself(codec: int) -> None:
    found = read(with_middle(checksummed(put(HEADER_BYTES, b"\xff" * 16)), codec))
    assert offsets(found) == OFFSETS
    assert unreadable(found) == MIDDLE


def test_an_unknown_codec_costs_only_its_batch() -> None:
    found = read(with_middle(checksummed(put(ATTRIBUTES_AT, b"\x00\x07"))))
    assert offsets(found) == OFFSETS
    assert unreadable(found) == MIDDLE


def record_starts(data: bytes) -> list[int]:
    starts, at = [], HEADER_BYTES
    for _ in range(3):
        starts.append(at)
        at += 1 + data[at] // 2  # lengths below 64 take one byte, zigzag
    return starts


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("damage_at", [4, 5, 8, 19])  # key length, key, value length, header count
def test_one_record_that_can_not_be_read_costs_only_itself(number: int, damage_at: int) -> None:
    start = record_starts(log()[1])[number]
    found = read(with_middle(checksummed(put(start + damage_at, b"\x7f"))))
    assert offsets(found) == OFFSETS
    assert set(unreadable(found)) <= {2 + number}


@given(
    changes=st.lists(st.tuples(st.integers(0, 120), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
    has_checksum=st.booleans(),
    codec=st.sampled_from([0, *CODECS.values()]),
    at_once=st.sampled_from([1, 100]),
    fetch_bytes=st.sampled_from([1, 1_000_000]),
)
@settings(max_examples=1500, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_is_damaged_each_offset_is_passed_once_and_the_neighbours_are_read(
    changes: list[tuple[int, bytes]], has_checksum: bool, codec: int, at_once: int, fetch_bytes: int
) -> None:
    def damage(data: bytearray) -> None:
        size = bytes(data[8:12])
        for position, written in changes:
            kept = written[: max(0, len(data) - position)]
            data[position : position + len(kept)] = kept
        data[8:12] = size  # a broker returns batches by their lengths, and by their offsets
        data[0:8] = struct.pack(">q", 2)
        if has_checksum:
            data[16] = 2
            data[COUNT_AT : COUNT_AT + 4] = struct.pack(">i", 3)  # which a broker checks
            data[LAST_DELTA_AT : LAST_DELTA_AT + 4] = struct.pack(">i", 2)
            checksummed(lambda _: None)(data)

    found = read(with_middle(damage, codec), at_once, fetch_bytes)
    assert offsets(found) in (OFFSETS, [0, 1, 5])  # the latter where the attributes say that it is no data
    assert [each for each in found if each[0] in (0, 1, 5)] == [(n, b"%d" % n * 9) for n in (0, 1, 5)]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_expands_to_the_limit_and_no_further(codec: int) -> None:
    packed = batch(0, [bytes(100_000)], codec)[HEADER_BYTES:]
    assert 100_000 < len(decompress(codec, packed)) < 100_100
    with pytest.raises(DecompressionFailed):
        decompress(codec, packed, 99_999)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
def test_whatever_the_bytes_are_they_expand_or_are_refused(codec: int, data: bytes) -> None:
    try:
        expanded = decompress(codec, data, 1000)
    except DecompressionFailed:
        return
    assert len(expanded) <= 1000
