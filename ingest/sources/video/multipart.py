"""The parts of a Motion JPEG stream over HTTP (``multipart/x-mixed-replace``), read as tolerantly as browsers do.

RFC 2046, section 5.1, says how parts are delimited. Cameras also leave the first delimiter out, write dashes into the
boundary's name, end lines with a line feed alone, and call their images ``image/jpg`` or give them a ``charset``; the
type that a part claims is therefore not looked at.
"""

import re
from collections.abc import Iterator
from typing import Protocol

MAX_LINE_BYTES = 65_536
MAX_PART_BYTES = 64_000_000
HEADER_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,99}")


class ByteStream(Protocol):
    """What is read: an `http.client.HTTPResponse` fits."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only at the end of the stream."""

    def readline(self, limit: int, /) -> bytes:
        """Return the bytes up to a line feed, which is included; at most `limit` of them, none at the end."""


def read_parts(stream: ByteStream, boundary: str) -> Iterator[bytes]:
    """Yield the content of each whole part until the stream ends.

    A part with a ``Content-Length`` is yielded as soon as it is complete, another one when the next delimiter arrives.

    Args:
        stream: The body of the response.
        boundary: The parameter of the content type, with or without quotation marks and leading dashes; where it is
            empty, the first line that begins with two dashes is the delimiter.

    Raises:
        ValueError: A part is larger than 64 MB, so this is no stream of images.
    """
    delimiter = _Delimiter(boundary)
    is_delimited = True  # the first delimiter may be missing
    while (headers := _read_headers(stream, delimiter, is_delimited)) is not None:
        length = headers.get(b"content-length", b"")
        if length.isdigit():
            content: bytes | None = _read_exactly(stream, int(length))
            is_delimited = False
        else:
            content = _read_to_delimiter(stream, delimiter)
            is_delimited = True
        if content is None:
            return
        if content:
            yield content


class _Delimiter:
    """Recognises the line between two parts."""

    def __init__(self, boundary: str) -> None:
        self._name = boundary.strip().strip('"').strip("-").encode("latin-1", "replace")

    def ends(self, line: bytes) -> bool:
        """Return whether a line is the delimiter, or ends with it because the line break before it is missing."""
        text = line.rstrip(b"\r\n ").rstrip(b"-")
        if not self._name and text.startswith(b"--"):
            self._name = text.strip(b"-")
        return bool(self._name) and text.endswith(b"--" + self._name)

    def before(self, line: bytes) -> bytes:
        """Return what stands before the delimiter in a line that ends with it."""
        return line[: line.rindex(b"--" + self._name)].rstrip(b"-")


def _read_headers(stream: ByteStream, delimiter: _Delimiter, is_delimited: bool) -> dict[bytes, bytes] | None:
    """Return the next part's headers, names in lower case; None at the end of the stream.

    What stands before the delimiter is skipped, and so are empty lines before the first header.
    """
    headers: dict[bytes, bytes] = {}
    while line := stream.readline(MAX_LINE_BYTES):
        name, colon, value = line.partition(b":")
        if delimiter.ends(line):
            is_delimited, headers = True, {}
        elif is_delimited and colon and HEADER_NAME.fullmatch(name.strip()):
            headers[name.strip().lower()] = value.strip()
        elif headers and not line.strip():
            return headers
    return None


def _read_exactly(stream: ByteStream, size: int) -> bytes | None:
    """Return `size` bytes; None where the stream ends before."""
    if size > MAX_PART_BYTES:
        raise ValueError(f"a part of {size} bytes is more than the {MAX_PART_BYTES} that an image may have")
    content = stream.read(size)
    return content if len(content) == size else None


def _read_to_delimiter(stream: ByteStream, delimiter: _Delimiter) -> bytes | None:
    """Return the bytes before the next delimiter, without the line break that belongs to it; None at the end."""
    content = bytearray()
    while line := stream.readline(MAX_LINE_BYTES):
        if delimiter.ends(line):
            content += delimiter.before(line)
            return bytes(content).removesuffix(b"\n").removesuffix(b"\r")
        content += line
        if len(content) > MAX_PART_BYTES:
            raise ValueError(f"a part has more than the {MAX_PART_BYTES} bytes that an image may have")
    return None
