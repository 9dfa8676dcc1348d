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
        identity: The source's own stable name of this capture, where it has one, with the place that it was read from:
            two cameras may use the same file names. The same identity, time and bytes always get the same frame id, so
            a capture that is published twice still becomes one verdict.
        picture_problem: Why the source knows that the image does not show the part properly, a code such as
            ``damaged``; None for an image that is whole as far as it knows. Such a frame is never scored.
    """

    station: str
    captured_at: datetime
    image: bytes
    content_type: str
    part_id: str | None = None
    truth: str | None = None
    identity: str | None = None
    picture_problem: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedFrame:
    """A frame as it is read from the bus, with its encoded `image` or an `image_reference` to the image store.

    Attributes:
        captured_at: The time that the source stamped the frame with, or its arrival where that time can't be true.
        stamped_at: The source's time where it can't be true, else None; see `ingest.capture_time`.
        repaired: The names of the headers whose text was shortened or escaped.
    """

    frame_id: UUID
    station: str
    captured_at: datetime
    published_at: datetime
    content_type: str
    image: bytes | None
    image_reference: str | None = None
    part_id: str | None = None
    truth: str | None = None
    stamped_at: datetime | None = None
    repaired: tuple[str, ...] = ()
    picture_problem: str | None = None


def mint_frame_id(frame: Frame) -> UUID:
    """Return a UUIDv7 (RFC 9562): random for a frame without an identity, else of station, time, identity and image."""
    if frame.identity is None:
        return uuid7()
    captured_ms = int(frame.captured_at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    name = f"{frame.station}\0{frame.identity}\0".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(name, digest_size=10)
    digest.update(frame.image)
    number = (captured_ms << 80) | int.from_bytes(digest.digest())
    number = (number & ~(0xF << 76)) | (0x7 << 76)  # version 7
    number = (number & ~(0x3 << 62)) | (0x2 << 62)  # RFC variant
    return UUID(int=number)
