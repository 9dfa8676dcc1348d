"""The spool's segment files: a message is its length, the CRC-32 of its bytes, and its bytes."""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import structlog

from ingest.bus.header_codec import pack_headers, unpack_headers
from ingest.bus.protocol import Message

_FRONT = struct.Struct(">II")  # length and CRC-32 of what follows
_LENGTHS = struct.Struct(">II")  # of key and headers; the value is the rest

log = structlog.get_logger()


def pack(message: Message) -> bytes:
    key = message.key.encode("utf-8", "backslashreplace")
    headers = pack_headers(message.headers)
    body = b"".join((_LENGTHS.pack(len(key), len(headers)), key, headers, message.value))
    return _FRONT.pack(len(body), zlib.crc32(body)) + body


def _unpack(body: bytes) -> Message:
    key_bytes, headers_bytes = _LENGTHS.unpack_from(body)
    headers_at = _LENGTHS.size + key_bytes
    value_at = headers_at + headers_bytes
    key = body[_LENGTHS.size : headers_at].decode()
    return Message(key, body[value_at:], unpack_headers(body[headers_at:value_at]))


def read_message(file: BinaryIO) -> Message | None:
    """The next message, None where the disk has spoilt it or the file ends early."""
    front = file.read(_FRONT.size)
    if len(front) < _FRONT.size:
        return None
    length, checksum = _FRONT.unpack(front)
    body = file.read(length)
    return _unpack(body) if len(body) == length and zlib.crc32(body) == checksum else None


def skip_message(file: BinaryIO) -> None:
    front = file.read(_FRONT.size)
    if len(front) == _FRONT.size:
        file.seek(_FRONT.unpack(front)[0], os.SEEK_CUR)


def measure(path: Path) -> tuple[int, int]:
    """Count the messages of the last segment and cut off a torn end; return the count and the bytes that stay.

    A message that is whole but spoilt, with others behind it, stays counted: it was promised, so its loss must show.
    """
    with path.open("r+b") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        count = good = whole = at = 0
        while at + _FRONT.size <= size_bytes:
            file.seek(at)
            length, checksum = _FRONT.unpack(file.read(_FRONT.size))
            at += _FRONT.size + length
            if at > size_bytes:
                break
            whole += 1
            if zlib.crc32(file.read(length)) == checksum:
                count, good = whole, at
        if good < size_bytes:
            log.warning(
                "the spool's end was torn off by a kill or power cut", segment=str(path), bytes=size_bytes - good
            )
            file.truncate(good)
    return count, good


def write_all(file: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written
