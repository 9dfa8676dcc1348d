"""Step 2 of the worker: from messages to framed pictures, every message being either one or a refusal."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import count

from ingest import schema
from ingest.bus.protocol import Message, Record, RecordPosition
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame
from scorer.chunks import chunks
from scorer.detectors.protocol import Detector
from scorer.images import RetriableImageStore
from scorer.imaging import decode
from scorer.imaging.byte_budget import ByteBudget
from scorer.imaging.framing import Framed
from scorer.imaging.pillow_warnings import suppress_pillow_warnings
from scorer.settings import ScorerSettings
from storage.errors import NotFound
from storage.line.parked_frames import ParkedFrame

FRAMES_PER_TASK = 4
"""So many frames are decoded, or kept, in one task of a thread: each task is two waits for Python's lock."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A frame that could be parsed, with the message it came in."""

    position: RecordPosition
    message: Message
    frame: PublishedFrame


@dataclass(frozen=True, slots=True)
class Framable:
    """A frame that could be decoded and is framed. `content_type` is what its bytes say, whatever the message said.

    `framed` is what a detector will see of it; None where there is none to see it.
    """

    arrived: Parsed
    framed: Framed | None
    content_type: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A prepared frame whose image is being kept, while the frame is scored, with others' in one task.

    `kept`: references by `position` in it; None for an image that came as a reference, and so lies in the store
    already.
    """

    prepared: Framable
    kept: Future[list[str | None]]
    position: int

    @property
    def arrived(self) -> Parsed:
        """The frame as it came."""
        return self.prepared.arrived

    def reference(self) -> str:
        """Of its image, once the image store has it; raises `ImageStoreUnavailable`."""
        return self.kept.result()[self.position] or self.arrived.frame.image_reference or ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that can't become a verdict; `frame` is None where not even its headers could be read."""

    position: RecordPosition
    message: Message
    frame: PublishedFrame | None
    reason: str
    error: str


def parse(record: Record) -> Parsed | Rejected:
    """Read a record's headers."""
    message = Message(record.key or "", record.value, record.headers)
    try:
        return Parsed(record.position, message, schema.decode(record))
    except BadFrame as error:
        return Rejected(record.position, message, None, error.reason, str(error))


def unpark(parked: ParkedFrame, station: str) -> Parsed:
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
    return Parsed(RecordPosition(parked.topic, parked.partition, parked.offset), message, published)


def reject(arrived: Parsed, reason: str, error: str) -> Rejected:
    """Turn a frame away."""
    return Rejected(arrived.position, arrived.message, arrived.frame, reason, error)


class FrameDecoder:
    """Fetches claim checks, decodes and frames, in threads that hold at most `max_decoded_bytes` between them.

    A single picture may be larger than that; it is then decoded alone. What is left of it is small. Images are kept in
    `keeping`, other threads, which wait for the disk.
    """

    def __init__(
        self, images: RetriableImageStore, settings: ScorerSettings, threads: Executor, keeping: Executor
    ) -> None:
        self._images = images
        self._settings = settings
        self._threads = threads
        self._keeping = keeping
        self._room = ByteBudget(settings.max_decoded_bytes)

    def pictured(
        self, frames: Sequence[Parsed], detector_of: Callable[[Parsed], Detector | None]
    ) -> list[Decoded | Rejected]:
        """Decode each frame and prepare it for its detector, in order."""
        pairs = [(arrived, detector_of(arrived)) for arrived in frames]
        parts = chunks(pairs, FRAMES_PER_TASK, self._settings.decode_threads)
        return [one for found in self._threads.map(self._pictures, parts) for one in found]

    def _pictures(self, pairs: Sequence[tuple[Parsed, Detector | None]]) -> list[Decoded | Rejected]:
        """One task of a decoding thread, and one of a keeping thread for what it decoded."""
        with suppress_pillow_warnings():  # once for all of them
            found = [self._prepared(*pair) for pair in pairs]
        images = [one.arrived.frame.image for one in found if isinstance(one, Framable)]
        kept = self._keeping.submit(lambda: [None if image is None else self._images.put(image) for image in images])
        position = count()
        return [one if isinstance(one, Rejected) else Decoded(one, kept, next(position)) for one in found]

    def _prepared(self, arrived: Parsed, detector: Detector | None) -> Framable | Rejected:
        try:
            data = self._fetched(arrived)
            opened = decode.open_image(data, self._settings)
            with self._room.of(len(data) + opened.decoded_bytes):
                decoded = opened.decode(None if detector is None else detector.target_size)
                framed = None if detector is None else detector.prepare(decoded.picture)
        except BadFrame as error:
            return reject(arrived, error.reason, str(error))
        return Framable(arrived, framed, decoded.content_type)

    def _fetched(self, arrived: Parsed) -> bytes:
        if arrived.frame.image is not None:
            return arrived.frame.image
        reference = arrived.frame.image_reference or ""
        try:
            return self._images.get(reference)
        except NotFound as error:
            raise BadFrame(
                "image-missing", f"The message refers to the image {reference}, which the image store hasn't."
            ) from error
