"""Step 2 of the worker: from messages to framed pictures, every message being either one or a refusal."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from ingest import schema
from ingest.bus.protocol import Message, Place, Record
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame
from scorer import decode
from scorer.detectors.protocol import Detector
from scorer.framing import Framed
from scorer.kept_images import KeptImages
from scorer.room import Room
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
    """A frame that could be decoded. `content_type` is what its bytes say, whatever the message said.

    `framed` is what a detector will see of it; None where there is none to see it. `kept` is the reference of its
    image, once the image store has it: it is kept while the frame is scored.
    """

    arrived: Arrived
    framed: Framed | None
    content_type: str
    kept: Future[str]


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
    """Fetches claim checks, decodes and frames, in threads that hold at most `max_decoded_bytes` between them.

    A single picture may be larger than that; it is then decoded alone. What is left of it is small. Images are kept in
    `keeping`, other threads, which wait for the disk.
    """

    def __init__(self, images: KeptImages, settings: ScorerSettings, threads: Executor, keeping: Executor) -> None:
        self._images = images
        self._settings = settings
        self._threads = threads
        self._keeping = keeping
        self._room = Room(settings.max_decoded_bytes)

    def pictured(
        self, frames: Sequence[Arrived], detector_of: Callable[[Arrived], Detector | None]
    ) -> list[Pictured | Refused]:
        """Decode each frame and prepare it for its detector, in order."""
        pairs = [(arrived, detector_of(arrived)) for arrived in frames]
        return list(self._threads.map(self._picture, pairs))

    def _picture(self, pair: tuple[Arrived, Detector | None]) -> Pictured | Refused:
        arrived, detector = pair
        try:
            data = self._fetched(arrived)
            opened = decode.opened(data, self._settings)
            with self._room.of(len(data) + opened.decoded_bytes):
                decoded = opened.decode(None if detector is None else detector.enough_px)
                framed = None if detector is None else detector.prepare(decoded.picture)
        except BadFrame as error:
            return refuse(arrived, error.reason, str(error))
        return Pictured(arrived, framed, decoded.content_type, self._kept(arrived))

    def _kept(self, arrived: Arrived) -> Future[str]:
        """One that came as a reference lies in the store already."""
        frame = arrived.frame
        if frame.image is not None:
            return self._keeping.submit(self._images.put, frame.image)
        kept: Future[str] = Future()
        kept.set_result(frame.image_reference or "")
        return kept

    def _fetched(self, arrived: Arrived) -> bytes:
        if arrived.frame.image is not None:
            return arrived.frame.image
        reference = arrived.frame.image_reference or ""
        try:
            return self._images.get(reference)
        except NotFound as error:
            raise BadFrame(
                "image-missing", f"The message refers to the image {reference}, which the image store hasn't."
            ) from error
