"""Headers as one run of bytes, for the embedded bus and the spool."""

import struct

from ingest.bus.protocol import Headers

_COUNT = struct.Struct(">I")
_LENGTHS = struct.Struct(">II")  # of a name and its value


def pack_headers(headers: Headers) -> bytes:
    parts = [_COUNT.pack(len(headers))]
    for name, value in headers:
        raw_name = name.encode("utf-8", "backslashreplace")
        parts += (_LENGTHS.pack(len(raw_name), len(value)), raw_name, value)
    return b"".join(parts)


def unpack_headers(packed: bytes) -> Headers:
    """Raises `ValueError` for bytes that `pack_headers` did not write."""
    try:
        (count,) = _COUNT.unpack_from(packed)
        at = _COUNT.size
        headers = []
        for _ in range(count):
            name_bytes, value_bytes = _LENGTHS.unpack_from(packed, at)
            middle = at + _LENGTHS.size + name_bytes
            name, value = packed[at + _LENGTHS.size : middle], packed[middle : middle + value_bytes]
            at = middle + value_bytes
            headers.append((name.decode(), value))
    except struct.error as error:
        raise ValueError(f"packed headers end early: {error}") from None
    if at != len(packed):
        raise ValueError(f"packed headers have {len(packed)} bytes where {at} were told")
    return tuple(headers)
