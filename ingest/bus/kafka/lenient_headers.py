"""Header names that are not UTF-8: kafka-python 3.0.12 can't read past one, which would block a group forever.

Kafka's format requires UTF-8, but no broker checks it. Bytes that are not UTF-8 become ``?`` here, and the message
becomes a verdict or a dead letter like any other (ADR 0002).
"""

import structlog
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

REPLACEMENT = ord("?")

log = structlog.get_logger()


class LenientRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A batch whose records can all be read, whatever their header names; its checksum is verified before."""

    def _read_msg(self) -> DefaultRecord:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            log.warning("a header name is not UTF-8; its invalid bytes are read as question marks")
            replace_invalid_names(self._buffer, self._pos)
            return super()._read_msg()


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


def install_lenient_batches() -> None:
    """Make kafka-python's consumers read with `LenientRecordBatch`; may be called again."""
    memory_records.DefaultRecordBatch = LenientRecordBatch
