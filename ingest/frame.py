"""The frame: one captured image with its metadata, as a source yields it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured image, encoded as the camera encoded it.

    `captured_at` is an aware UTC time. `truth` is what is known to be in the picture (``good`` or a defect's name),
    only for replayed and simulated lines. `identity` is the source's own stable name for this capture, if it has one:
    the same identity always gets the same frame id, so a capture published twice still makes one verdict.
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
    """A frame as it comes off the bus: `image` holds the bytes, or `image_reference` says where they lie."""

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
    """Return a UUIDv7 (RFC 9562): random without an identity, else a function of station, time and identity."""
    if frame.identity is None:
        return uuid7()
    captured_ms = int(frame.captured_at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    digest = hashlib.blake2b(f"{frame.station}\0{frame.identity}".encode(), digest_size=10).digest()
    number = (captured_ms << 80) | int.from_bytes(digest)
    number = (number & ~(0xF << 76)) | (0x7 << 76)  # version 7
    number = (number & ~(0x3 << 62)) | (0x2 << 62)  # RFC variant
    return UUID(int=number)
