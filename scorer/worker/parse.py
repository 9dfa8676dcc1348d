"""Step 2 of the worker: parse messages into frames."""

from datetime import datetime

import structlog

from ingest import schema
from ingest.bus.protocol import DeletedRecords, Message, Record, RecordPosition, UnreadableRecord
from ingest.capture_time import check_capture_time
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame
from ingest.metrics import METADATA_REPAIRED
from scorer import metrics
from scorer.worker.batch import Parsed, Polled, Rejected, Source
from storage.line.dead_letters import UNREADABLE
from storage.line.parked_frames import ParkedFrame

log = structlog.get_logger()


def parse_all(source: Source, received_at: datetime) -> list[Parsed | Rejected]:
    """Return the frame of each record, or of each parked frame, in their order.

    `received_at` is the scorer's time, by which a time of capture that can't be true is recognised.
    """
    if isinstance(source, Polled):
        metrics.FRAMES_READ.inc(source.frames)
        return [parse(entry, received_at) for entry in source.entries if not isinstance(entry, DeletedRecords)]
    return [parse_parked(frame, source.station) for frame in source.frames]


def parse(record: Record | UnreadableRecord, received_at: datetime) -> Parsed | Rejected:
    """Read a record's headers."""
    if isinstance(record, UnreadableRecord):
        return Rejected(Message("", record.raw, ()), record.position, UNREADABLE, record.error)
    message = Message(record.key or "", record.value, record.headers)
    try:
        frame = schema.decode(record)
    except BadFrame as error:
        return Rejected(message, record.position, error.reason, str(error))
    except MemoryError:
        raise
    except Exception as error:
        log.exception("a message can't be parsed", position=str(record.position))
        return Rejected(message, record.position, "parsing-failed", f"{type(error).__name__}: {error}")
    if frame.repaired:
        _report_repairs(frame)
    return Parsed(check_capture_time(frame, record.appended_at, received_at), message, record.position)


def parse_parked(parked: ParkedFrame, station: str) -> Parsed:
    """Return a parked frame as it was parsed, its image now by reference."""
    stamp = parked.stamped_at or parked.captured_at
    frame = Frame(station, stamp, b"", parked.content_type, parked.part_id, parked.truth)
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
        stamped_at=parked.stamped_at,
    )
    return Parsed(published, message, RecordPosition(parked.topic, parked.partition, parked.offset))


def _report_repairs(frame: PublishedFrame) -> None:
    for name in frame.repaired:
        METADATA_REPAIRED.labels(name).inc()
    log.info(
        "texts of a frame were too long or could not be stored, and are shortened or escaped",
        frame_id=str(frame.frame_id),
        station=frame.station,
        headers=frame.repaired,
    )
