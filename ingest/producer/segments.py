"""The spool's segment files: a message is its length, the CRC-32 of its bytes, and its bytes."""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import structlog

from ingest.bus.header_codec import pack_headers, unpack_headers
from ingest.bus.protocol import Message

_PREFIX = struct.Struct(">II")  # length and CRC-32 of the body
_LENGTHS = struct.Struct(">II")  # of key and headers; the value is the rest

log = structlog.get_logger()


def pack_message(message: Message) -> bytes:
    """Return a message as the bytes of a segment."""
    key = message.key.encode("utf-8", "backslashreplace")
    headers = pack_headers(message.headers)
    body = b"".join((_LENGTHS.pack(len(key), len(headers)), key, headers, message.value))
    return _PREFIX.pack(len(body), zlib.crc32(body)) + body


def read_message(file: BinaryIO) -> Message | None:
    """Read the next message; return None where it is damaged or the file ends early."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None
    length, checksum = _PREFIX.unpack(prefix)
    body = file.read(length)
    return _unpack_body(body) if len(body) == length and zlib.crc32(body) == checksum else None


def skip_message(file: BinaryIO) -> None:
    """Seek over the next message."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) == _PREFIX.size:
        file.seek(_PREFIX.unpack(prefix)[0], os.SEEK_CUR)


def repair_segment(path: Path) -> tuple[int, int]:
    """Cut off the torn end of the last segment; return its number of messages and its size in bytes.

    A message that is complete but damaged, with others behind it, stays counted: it was acknowledged as spooled, so
    its loss must be reported.
    """
    with path.open("r+b") as file:
        file_bytes = file.seek(0, os.SEEK_END)
        count = size_bytes = complete = end = 0
        while end + _PREFIX.size <= file_bytes:
            file.seek(end)
            length, checksum = _PREFIX.unpack(file.read(_PREFIX.size))
            end += _PREFIX.size + length
            if end > file_bytes:
                break
            complete += 1
            if zlib.crc32(file.read(length)) == checksum:
                count, size_bytes = complete, end
        if size_bytes < file_bytes:
            torn_bytes = file_bytes - size_bytes
            log.warning("a kill or power cut has torn the spool's end", segment=str(path), torn_bytes=torn_bytes)
            file.truncate(size_bytes)
    return count, size_bytes


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset` of an open file; raises `OSError`."""
    remaining = memoryview(data)
    while remaining:
        written = os.pwrite(descriptor, remaining, offset)
        remaining, offset = remaining[written:], offset + written


def _unpack_body(body: bytes) -> Message:
    key_bytes, headers_bytes = _LENGTHS.unpack_from(body)
    headers_start = _LENGTHS.size + key_bytes
    value_start = headers_start + headers_bytes
    key = body[_LENGTHS.size : headers_start].decode()
    return Message(key, body[value_start:], unpack_headers(body[headers_start:value_start]))
