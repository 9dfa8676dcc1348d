"""The frame: one captured image with its metadata, as a source yields it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured image, encoded as the camera encoded it.

    Attributes:
        station: The name of the station whose camera captured it.
        captured_at: An aware time in UTC.
        image: The encoded image.
        content_type: Its MIME type, such as ``image/jpeg``.
        part_id: The name of the part, where the source knows it.
        truth: The ground truth, ``good`` or a defect's name; only replayed and simulated lines know it.
        identity: The source's own stable name of this capture, where it has one. The same identity always gets the
            same frame id, so a capture that is published twice still becomes one verdict.
    """

    station: str
    captured_at: datetime
    image: bytes
    content_type: str
    part_id: str | None = None
    truth: str | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedFrame:
    """A frame as it is read from the bus, with its encoded `image` or an `image_reference` to the image store."""

    frame_id: UUID
    station: str
    captured_at: datetime
    published_at: datetime
    content_type: str
    image: bytes | None
    image_reference: str | None = None
    part_id: str | None = None
    truth: str | None = None


def mint_frame_id(frame: Frame) -> UUID:
    """Return a UUIDv7 (RFC 9562): random for a frame without an identity, else a hash of station, time and identity."""
    if frame.identity is None:
        return uuid7()
    captured_ms = int(frame.captured_at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    digest = hashlib.blake2b(f"{frame.station}\0{frame.identity}".encode(), digest_size=10).digest()
    number = (captured_ms << 80) | int.from_bytes(digest)
    number = (number & ~(0xF << 76)) | (0x7 << 76)  # version 7
    number = (number & ~(0x3 << 62)) | (0x2 << 62)  # RFC variant
    return UUID(int=number)
