"""A batch of Kafka's record format 2 that gives every record that can be read, whatever the others are.

kafka-python 3.0.12 raises at the first record that it can't read, poll after poll, which would block a group forever.
Its format requires header names in UTF-8, but no broker checks it: bytes that are not become ``?`` here, and the
message becomes a verdict or a dead letter like any other (ADR 0002).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from kafka import errors
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from ingest.bus.kafka.decompression import decompress

REPLACEMENT = ord("?")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """A record of a batch that can't be read; `raw` are its bytes, as far as they can be told from the others."""

    offset: int
    error: Exception
    raw: bytes


class LenientRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A batch whose records are read one by one; verify its checksum before."""

    _buffer: bytearray
    _pos: int
    _decompressed: bool

    @property
    def is_dense(self) -> bool:
        """Whether the header counts as many records as the batch has offsets: none was removed by compaction."""
        return bool(0 <= self.last_offset_delta == self.records_count - 1)

    def entries(self) -> Iterator[DefaultRecord | DamagedRecord]:
        """Yield the records in order, and in place of each that can't be read a `DamagedRecord`.

        Raises:
            DecompressionFailed: The batch can't be decompressed.
            MemoryError: There is too little memory now.
        """
        self._maybe_uncompress()
        next_offset = self.base_offset
        for index in range(self.records_count):
            start = self._pos
            offset = self.base_offset + index if self.is_dense else next_offset
            try:
                record = self._read_msg()
                if not next_offset <= record.offset <= self.last_offset:
                    raise errors.CorruptRecordError(f"the record has the offset {record.offset}, outside its batch")
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  a record may be damaged in any way
                end = self._end_of_record(start)
                if end is None:
                    yield from self._rest(offset, error, start)
                    return
                self._pos = end
                yield DamagedRecord(offset, error, bytes(self._buffer[start:end]))
                next_offset = offset + 1
            else:
                yield record
                next_offset = record.offset + 1

    def _maybe_uncompress(self) -> None:
        if self.compression_type != self.CODEC_NONE and not self._decompressed:
            self._buffer = bytearray(decompress(self.compression_type, bytes(self._buffer[self._pos :])))
            self._pos = 0
        self._decompressed = True

    def _read_msg(self) -> DefaultRecord:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            log.warning("a header name is not UTF-8; its invalid bytes are read as question marks")
            replace_invalid_names(self._buffer, self._pos)
            return super()._read_msg()

    def _end_of_record(self, start: int) -> int | None:
        """Return where the record that begins at `start` ends by its own length, or None if that is no length."""
        try:
            length, begin = decode_varint(self._buffer, start)
        except (ValueError, IndexError):
            return None
        end: int = begin + length
        return end if length > 0 and end <= len(self._buffer) else None

    def _rest(self, offset: int, error: Exception, start: int) -> Iterator[DamagedRecord]:
        """Yield the records from `offset` on, whose bounds are lost, each with all the bytes from `start` on."""
        raw = bytes(self._buffer[start:])
        last = self.last_offset if self.is_dense else offset
        for each in range(offset, last + 1):
            yield DamagedRecord(each, error, raw)


def replace_invalid_names(buffer: bytearray, start: int) -> None:
    """Replace, in place, every invalid byte in the header names of the version 2 record that begins at `start`."""
    _, offset = decode_varint(buffer, start)  # length
    offset += 1  # attributes
    _, offset = decode_varint(buffer, offset)  # timestamp
    _, offset = decode_varint(buffer, offset)  # the record's offset
    for _ in ("key", "value"):
        size, offset = decode_varint(buffer, offset)
        offset += max(size, 0)
    headers, offset = decode_varint(buffer, offset)
    for _ in range(headers):
        size, offset = decode_varint(buffer, offset)
        buffer[offset : offset + size] = _replace_invalid(buffer[offset : offset + size])
        size, offset = decode_varint(buffer, offset + size)
        offset += max(size, 0)


def _replace_invalid(name: bytearray) -> bytes:
    """Return as many bytes as before, all of them UTF-8."""
    escaped = name.decode("utf-8", "surrogateescape")
    return bytes(
        REPLACEMENT if 0xDC80 <= ord(letter) <= 0xDCFF else byte for letter in escaped for byte in _bytes(letter)
    )


def _bytes(letter: str) -> bytes:
    return letter.encode("utf-8", "surrogateescape")
