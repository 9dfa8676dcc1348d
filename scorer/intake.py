"""Step 2 of the worker: from messages to pictures, every message being either a picture or a refusal."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from ingest import schema
from ingest.bus.protocol import Message, Place, Record
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame
from scorer import decode
from scorer.detectors.protocol import Picture
from scorer.kept_images import KeptImages
from scorer.settings import ScorerSettings
from storage.errors import NotFound
from storage.parked import ParkedFrame


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame that could be parsed, with the message it came in."""

    place: Place
    message: Message
    frame: PublishedFrame


@dataclass(frozen=True, slots=True)
class Pictured:
    """A frame that could be decoded. `content_type` is what its bytes say, whatever the message said."""

    arrived: Arrived
    data: bytes
    picture: Picture
    content_type: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that can't become a verdict; `frame` is None where not even its headers could be read."""

    place: Place
    message: Message
    frame: PublishedFrame | None
    reason: str
    error: str


def parse(record: Record) -> Arrived | Refused:
    """Read a record's headers."""
    message = Message(record.key or "", record.value, record.headers)
    try:
        return Arrived(record.place, message, schema.decode(record))
    except BadFrame as error:
        return Refused(record.place, message, None, error.reason, str(error))


def unpark(parked: ParkedFrame, station: str) -> Arrived:
    """The frame as it came, its image now by reference."""
    frame = Frame(station, parked.captured_at, b"", parked.content_type, parked.part_id, parked.truth)
    message = schema.encode(frame, parked.frame_id, parked.published_at, parked.image_reference)
    published = PublishedFrame(
        frame_id=parked.frame_id,
        station=station,
        captured_at=parked.captured_at,
        published_at=parked.published_at,
        content_type=parked.content_type,
        image=None,
        image_reference=parked.image_reference,
        part_id=parked.part_id,
        truth=parked.truth,
    )
    return Arrived(Place(parked.topic, parked.partition, parked.offset), message, published)


def refuse(arrived: Arrived, reason: str, error: str) -> Refused:
    """Turn a frame away."""
    return Refused(arrived.place, arrived.message, arrived.frame, reason, error)


class Intake:
    """Fetches claim checks and decodes, in threads, holding at most `max_decoded_bytes` of pictures and bytes."""

    def __init__(self, images: KeptImages, settings: ScorerSettings, threads: Executor) -> None:
        self._images = images
        self._settings = settings
        self._threads = threads

    def portions(self, frames: Sequence[Arrived]) -> Iterator[list[Pictured | Refused]]:
        """Decode in order, a portion at a time; a single frame may be larger than a portion's limit."""
        held: list[tuple[Arrived, bytes]] = []
        held_bytes = 0
        for arrived, fetched in self._fetched(frames):
            if isinstance(fetched, Refused):
                yield [fetched]
                continue
            try:
                needed = len(fetched) + decode.decoded_bytes(fetched, self._settings)
            except BadFrame as error:
                yield [refuse(arrived, error.reason, str(error))]
                continue
            if held and held_bytes + needed > self._settings.max_decoded_bytes:
                yield self._decoded(held)
                held, held_bytes = [], 0
            held.append((arrived, fetched))
            held_bytes += needed
        if held:
            yield self._decoded(held)

    def _fetched(self, frames: Sequence[Arrived]) -> Iterator[tuple[Arrived, bytes | Refused]]:
        at_once = self._settings.decode_threads
        for first in range(0, len(frames), at_once):
            some = frames[first : first + at_once]
            yield from zip(some, self._threads.map(self._fetch, some), strict=True)

    def _fetch(self, arrived: Arrived) -> bytes | Refused:
        if arrived.frame.image is not None:
            return arrived.frame.image
        reference = arrived.frame.image_reference or ""
        try:
            return self._images.get(reference)
        except NotFound:
            return refuse(
                arrived, "image-missing", f"The message refers to the image {reference}, which the image store hasn't."
            )

    def _decoded(self, held: Sequence[tuple[Arrived, bytes]]) -> list[Pictured | Refused]:
        return list(self._threads.map(self._decode, held))

    def _decode(self, pair: tuple[Arrived, bytes]) -> Pictured | Refused:
        arrived, data = pair
        try:
            decoded = decode.decode(data, self._settings)
        except BadFrame as error:
            return refuse(arrived, error.reason, str(error))
        return Pictured(arrived, data, decoded.picture, decoded.content_type)
