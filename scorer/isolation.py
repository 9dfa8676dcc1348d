"""Isolation of one frame that the worker can't write from the others of its batch, so that it stops nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingest import schema
from ingest.bus.protocol import DeletedRecords, Message, RecordPosition
from ingest.frame import Frame, PublishedFrame
from scorer.worker.batch import BadPicture, Decided, DecidedBatch, Polled, Rejected, Released, Source, Unscorable

REASON = "writing-failed"


def split(batch: DecidedBatch) -> list[DecidedBatch]:
    """Return a batch per frame, in the order of the lists, and one per range of records that were deleted unread."""
    sources = _sources(batch.source)
    nothing = DecidedBatch(batch.source, decided=[], bad_pictures=[], unscored=[], to_park=[], rejected=[])

    def source(position: RecordPosition) -> DecidedBatch:
        return replace(nothing, source=sources[position])

    return [
        *(replace(source(each.scored.position), decided=[each]) for each in batch.decided),
        *(replace(source(each.position), bad_pictures=[each]) for each in batch.bad_pictures),
        *(replace(source(each.position), unscored=[each]) for each in batch.unscored),
        *(replace(source(each.position), to_park=[each]) for each in batch.to_park),
        *(replace(source(each.position), rejected=[each]) for each in batch.rejected),
        *(source(each.position) for each in _deleted(batch.source)),
    ]


def reject_whole(batch: DecidedBatch, error: Exception) -> DecidedBatch:
    """Return the batch with every frame rejected, as plainly as possible: the frame's own texts may be the cause."""
    sentence = f"The frame could not be written: {type(error).__name__}: {error}"
    frames: Sequence[Decided | BadPicture | Unscorable] = [
        *batch.decided,
        *batch.bad_pictures,
        *batch.unscored,
        *batch.to_park,
    ]
    rejected = [_rejected(each, sentence) for each in frames]
    plain = [replace(each, message=Message("", each.message.value, ()), error=sentence) for each in batch.rejected]
    return DecidedBatch(
        batch.source, decided=[], bad_pictures=[], unscored=[], to_park=[], rejected=[*rejected, *plain]
    )


def _sources(source: Source) -> Mapping[RecordPosition, Source]:
    """Return the source that has one frame alone, by the frame's position."""
    if isinstance(source, Polled):
        return {entry.position: Polled([entry]) for entry in source.entries}
    return {
        RecordPosition(frame.topic, frame.partition, frame.offset): Released(source.station, [frame])
        for frame in source.frames
    }


def _deleted(source: Source) -> Sequence[DeletedRecords]:
    return source.deleted if isinstance(source, Polled) else []


def _rejected(result: Decided | BadPicture | Unscorable, sentence: str) -> Rejected:
    frame = result.scored if isinstance(result, Decided) else result
    message = _message(frame.frame, frame.image_reference.result())
    return Rejected(message, frame.position, REASON, sentence)


def _message(published: PublishedFrame, image_reference: str) -> Message:
    """Return the frame as a message that can be replayed, its image by reference."""
    frame = Frame(
        published.station,
        published.captured_at,
        b"",
        published.content_type,
        published.part_id,
        published.truth,
        picture_problem=published.picture_problem,
    )
    return schema.encode(frame, published.frame_id, published.published_at, image_reference)
