"""Decompression of Kafka's batches within a limit, so that a batch that expands without end costs no memory.

Each codec's library is imported when a batch needs it: most lines compress nothing, and images hardly compress.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping

MAX_BATCH_BYTES = 100_000_000
"""Ten times the largest message that this project publishes."""

_XERIAL_MAGIC = b"\x82SNAPPY\x00"  # of snappy's Java library, which frames blocks
_XERIAL_HEADER_BYTES = 16
_MAX_SNAPPY_LENGTH_BYTES = 5


class DecompressionFailed(ValueError):
    """The batch is damaged, compressed by an unknown codec, or larger than the limit."""


def decompress(codec: int, data: bytes, limit_bytes: int = MAX_BATCH_BYTES) -> bytes:
    """Return the records of a batch.

    Args:
        codec: The codec's number in the batch's attributes, from 1 (gzip) to 4 (zstd).
        data: The compressed records.
        limit_bytes: The most bytes to return.

    Raises:
        DecompressionFailed: The data can't be decompressed within the limit.
    """
    if codec not in _CODECS:
        raise DecompressionFailed(f"the codec {codec} is not known here")
    name, expand = _CODECS[codec]
    try:
        expanded = expand(data, limit_bytes + 1)
    except DecompressionFailed:
        raise
    except MemoryError:
        raise
    except Exception as error:  # each library has errors of its own, and one may be missing
        raise DecompressionFailed(f"{name} can't decompress it ({error})") from error
    if len(expanded) > limit_bytes:
        raise DecompressionFailed(f"{name} expands it beyond the limit of {limit_bytes} bytes")
    return expanded


def _gzip(data: bytes, most_bytes: int) -> bytes:
    expanded = b""
    while data and len(expanded) < most_bytes:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        expanded += member.decompress(data, most_bytes - len(expanded))
        if not member.eof and len(expanded) < most_bytes:
            raise DecompressionFailed("gzip's data end early")
        data = member.unused_data
    return expanded


def _lz4(data: bytes, most_bytes: int) -> bytes:
    import lz4.frame

    expanded = b""
    while data and len(expanded) < most_bytes:
        frame = lz4.frame.LZ4FrameDecompressor()
        expanded += frame.decompress(data, most_bytes - len(expanded))
        if not frame.eof and len(expanded) < most_bytes:
            raise DecompressionFailed("lz4's data end early")
        data = frame.unused_data or b""
    return expanded


def _zstd(data: bytes, most_bytes: int) -> bytes:
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        return reader.read(most_bytes)


def _snappy(data: bytes, most_bytes: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _snappy_block(data, most_bytes)
    expanded = bytearray()
    position = _XERIAL_HEADER_BYTES
    while position < len(data) and len(expanded) < most_bytes:
        (size,) = struct.unpack_from(">i", data, position)
        position += 4
        if not 0 <= size <= len(data) - position:
            raise DecompressionFailed("snappy's data end early")
        expanded += _snappy_block(data[position : position + size], most_bytes - len(expanded))
        position += size
    return bytes(expanded)


def _snappy_block(block: bytes, most_bytes: int) -> bytes:
    """Expand one block, whose first bytes are its expanded size, seven bits in each."""
    import snappy

    size = 0
    for index, byte in enumerate(block[:_MAX_SNAPPY_LENGTH_BYTES]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            break
    if size >= most_bytes:
        raise DecompressionFailed(f"snappy expands it beyond the limit, to {size} bytes")
    expanded: bytes = snappy.uncompress(block)
    return expanded


_CODECS: Mapping[int, tuple[str, Callable[[bytes, int], bytes]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
