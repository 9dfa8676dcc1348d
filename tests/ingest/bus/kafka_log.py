"""Batches of Kafka's record format as bytes, to be damaged in a fetch or in a broker's own log."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

HEADER_BYTES = 61
LENGTH_AT, CRC_AT, ATTRIBUTES_AT, LAST_DELTA_AT, COUNT_AT = 8, 17, 21, 23, 57
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

Damage = Callable[[bytearray], None]


def batch(base_offset: int, values: Sequence[bytes], codec: int = 0) -> bytes:
    """Return a batch as a broker stores it, with a key and a header per record."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 10_000_000)
    for index, value in enumerate(values):
        builder.append(index, 1_700_000_000_000, b"s1", value, [("n", b"1")])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, base_offset)
    return bytes(built)


def split(log: bytes) -> list[bytes]:
    """Return the batches of a log."""
    batches = []
    start = 0
    while len(log) - start >= HEADER_BYTES:
        (size,) = struct.unpack_from(">i", log, start + LENGTH_AT)
        batches.append(log[start : start + 12 + size])
        start += 12 + size
    return batches


def checksummed(damage: Damage) -> Damage:
    """Return the damage with a checksum that is right for it, as a faulty producer would send it."""

    def apply(batch: bytearray) -> None:
        damage(batch)
        struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[ATTRIBUTES_AT:]))

    return apply


def put(position: int, data: bytes) -> Damage:
    """Return the damage that overwrites bytes; a negative position counts from the end."""

    def apply(batch: bytearray) -> None:
        start = position if position >= 0 else len(batch) + position
        batch[start : start + len(data)] = data

    return apply


def flip(position: int) -> Damage:
    """Return the damage that inverts a byte."""

    def apply(batch: bytearray) -> None:
        batch[position] ^= 0xFF

    return apply


def damage_segment(segment: Path, number: int, damage: Damage) -> None:
    """Damage the batch of this number in a broker's log, while the broker runs."""
    batches = split(segment.read_bytes())
    changed = bytearray(batches[number])
    damage(changed)
    assert len(changed) == len(batches[number])
    with segment.open("r+b") as file:
        file.seek(sum(len(each) for each in batches[:number]))
        file.write(changed)
