"""Step 2 of the worker: parse messages into frames."""

import structlog

from ingest import schema
from ingest.bus.protocol import DeletedRecords, Message, Record, RecordPosition, UnreadableRecord
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame
from scorer import metrics
from scorer.worker.batch import Parsed, Polled, Rejected, Source
from storage.line.dead_letters import UNREADABLE
from storage.line.parked_frames import ParkedFrame

log = structlog.get_logger()


def parse_all(source: Source) -> list[Parsed | Rejected]:
    """Return the frame of each record, or of each parked frame, in their order."""
    if isinstance(source, Polled):
        metrics.FRAMES_READ.inc(source.frames)
        return [parse(entry) for entry in source.entries if not isinstance(entry, DeletedRecords)]
    return [parse_parked(frame, source.station) for frame in source.frames]


def parse(record: Record | UnreadableRecord) -> Parsed | Rejected:
    """Read a record's headers."""
    if isinstance(record, UnreadableRecord):
        return Rejected(Message("", record.raw, ()), record.position, UNREADABLE, record.error)
    message = Message(record.key or "", record.value, record.headers)
    try:
        return Parsed(schema.decode(record), message, record.position)
    except BadFrame as error:
        return Rejected(message, record.position, error.reason, str(error))
    except MemoryError:
        raise
    except Exception as error:
        log.exception("a message can't be parsed", position=str(record.position))
        return Rejected(message, record.position, "parsing-failed", f"{type(error).__name__}: {error}")


def parse_parked(parked: ParkedFrame, station: str) -> Parsed:
    """Return a parked frame as it was parsed, its image now by reference."""
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
    return Parsed(published, message, RecordPosition(parked.topic, parked.partition, parked.offset))
