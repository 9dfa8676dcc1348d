"""Header names that are no UTF-8: kafka-python 3.0.12 can't read past one, which would stop a group at it for ever.

Kafka's format says that a name is UTF-8; nothing but the producer sees to it. Bytes that are not become ``?`` here, and
the message goes on its way to a verdict or the dead letters (ADR 0002).
"""

import structlog
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

UNREADABLE = ord("?")

log = structlog.get_logger()


class LenientRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A batch whose records can all be read, whatever their headers are called. Its checksum is checked before."""

    def _read_msg(self) -> DefaultRecord:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            log.warning("a header's name is not UTF-8; its odd bytes are read as question marks")
            replace_invalid_names(self._buffer, self._pos)
            return super()._read_msg()


def replace_invalid_names(buffer: bytearray, start: int) -> None:
    """Put ``?`` for every byte that is not UTF-8 in the header names of the version 2 record that begins at `start`."""
    _, position = decode_varint(buffer, start)  # length
    position += 1  # attributes
    _, position = decode_varint(buffer, position)  # timestamp
    _, position = decode_varint(buffer, position)  # offset
    for _ in ("key", "value"):
        size, position = decode_varint(buffer, position)
        position += max(size, 0)
    headers, position = decode_varint(buffer, position)
    for _ in range(headers):
        size, position = decode_varint(buffer, position)
        buffer[position : position + size] = _readable(buffer[position : position + size])
        size, position = decode_varint(buffer, position + size)
        position += max(size, 0)


def _readable(name: bytearray) -> bytes:
    """As many bytes as before, all of them UTF-8."""
    odd = name.decode("utf-8", "surrogateescape")
    return bytes(UNREADABLE if 0xDC80 <= ord(letter) <= 0xDCFF else byte for letter in odd for byte in _bytes(letter))


def _bytes(letter: str) -> bytes:
    return letter.encode("utf-8", "surrogateescape")


def install_lenient_batches() -> None:
    """Let kafka-python's consumers read with `LenientRecordBatch`; may be called again."""
    memory_records.DefaultRecordBatch = LenientRecordBatch
