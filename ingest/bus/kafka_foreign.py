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


class ForgivingRecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A batch whose records can all be read, whatever their headers are called. Its checksum is checked before."""

    def _read_msg(self) -> DefaultRecord:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            log.warning("a header's name is not UTF-8; its odd bytes are read as question marks")
            make_names_readable(self._buffer, self._pos)
            return super()._read_msg()


def make_names_readable(buffer: bytearray, start: int) -> None:
    """Put ``?`` for every byte that is not UTF-8 in the header names of the version 2 record that begins at `start`."""
    _, place = decode_varint(buffer, start)  # length
    place += 1  # attributes
    _, place = decode_varint(buffer, place)  # timestamp
    _, place = decode_varint(buffer, place)  # offset
    for _ in ("key", "value"):
        size, place = decode_varint(buffer, place)
        place += max(size, 0)
    headers, place = decode_varint(buffer, place)
    for _ in range(headers):
        size, place = decode_varint(buffer, place)
        buffer[place : place + size] = _readable(buffer[place : place + size])
        size, place = decode_varint(buffer, place + size)
        place += max(size, 0)


def _readable(name: bytearray) -> bytes:
    """As many bytes as before, all of them UTF-8."""
    odd = name.decode("utf-8", "surrogateescape")
    return bytes(UNREADABLE if 0xDC80 <= ord(letter) <= 0xDCFF else byte for letter in odd for byte in _bytes(letter))


def _bytes(letter: str) -> bytes:
    return letter.encode("utf-8", "surrogateescape")


def forgive() -> None:
    """Let kafka-python's consumers read with `ForgivingRecordBatch`; may be called again."""
    memory_records.DefaultRecordBatch = ForgivingRecordBatch
