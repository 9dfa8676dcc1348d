"""Message headers as bytes, for the embedded bus and the spool."""

import struct

from ingest.bus.protocol import Headers

_COUNT = struct.Struct(">I")
_LENGTHS = struct.Struct(">II")  # of a name and its value


def pack_headers(headers: Headers) -> bytes:
    """Return headers as bytes: their count, then per header both lengths, the name in UTF-8 and the value."""
    parts = [_COUNT.pack(len(headers))]
    for name, value in headers:
        raw_name = name.encode("utf-8", "backslashreplace")
        parts += (_LENGTHS.pack(len(raw_name), len(value)), raw_name, value)
    return b"".join(parts)


def unpack_headers(packed: bytes) -> Headers:
    """Return the headers that `pack_headers` packed.

    Raises:
        ValueError: `pack_headers` did not write these bytes.
    """
    try:
        (count,) = _COUNT.unpack_from(packed)
        position = _COUNT.size
        headers = []
        for _ in range(count):
            name_bytes, value_bytes = _LENGTHS.unpack_from(packed, position)
            name_start = position + _LENGTHS.size
            value_start = name_start + name_bytes
            position = value_start + value_bytes
            headers.append((packed[name_start:value_start].decode(), packed[value_start:position]))
    except struct.error as error:
        raise ValueError(f"packed headers end early: {error}") from None
    if position != len(packed):
        raise ValueError(f"packed headers have {len(packed)} bytes, of which they use {position}")
    return tuple(headers)
