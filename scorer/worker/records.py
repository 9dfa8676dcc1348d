"""Turn frames and rejected messages into the records that storage writes."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from ingest.bus.protocol import DeletedRecords
from scorer.worker.batch import BadPicture, Decided, Rejected, Unscorable
from storage.areas.regions import Region
from storage.line.dead_letters import DeadLetter
from storage.line.decision import Decision
from storage.line.drops import DELETED_UNREAD, NO_STATION, DropReport
from storage.line.parked_frames import ParkedFrame
from storage.line.verdicts import Verdict

_DELETED_RECORDS = UUID("5a1f8a0e-64d2-4c83-9df0-6a0a0f6a7d11")  # the namespace of their reports' ids


@dataclass(frozen=True, slots=True)
class StoredMap:
    """An anomaly map in the image store, and where it exceeds the limit of its frame."""

    reference: str
    regions: tuple[Region, ...]


def scored_verdict(decided: Decided, stored_map: StoredMap, worker: str, at: datetime) -> Verdict:
    """Return the verdict on a scored frame, once its image is stored, with everything that it was decided by."""
    scored = decided.scored
    frame, recipe, position = scored.frame, scored.recipe, scored.position
    return Verdict(
        frame_id=frame.frame_id,
        station_id=scored.station.id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        decided_at=at,
        decision=decided.decision,
        score=scored.score,
        threshold=recipe.threshold.value,
        components=scored.components,
        normal_set_id=recipe.threshold.normal_set_id,
        detector=recipe.detector.name,
        model_id=recipe.model_id,
        weights_sha256=recipe.detector.weights_sha256,
        image_reference=scored.image_reference.result(),
        content_type=scored.content_type,
        map_reference=stored_map.reference,
        part_id=frame.part_id,
        truth=frame.truth,
        worker=worker,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        stamped_at=frame.stamped_at,
        review_limit=recipe.threshold.review_limit,
        regions=stored_map.regions,
        mask_version=recipe.mask_version,
    )


def unscored_verdict(unscorable: Unscorable, image_reference: str, worker: str, at: datetime) -> Verdict:
    """Return the verdict on a frame whose station has no normal set and is set not to wait for one."""
    return _verdict_without_score(unscorable, image_reference, worker, at, "no_reference")


def bad_picture_verdict(bad: BadPicture, image_reference: str, worker: str, at: datetime) -> Verdict:
    """Return the verdict on a frame whose image does not show the part properly."""
    verdict = _verdict_without_score(bad, image_reference, worker, at, "bad_picture")
    return replace(verdict, normal_set_id=bad.normal_set_id, picture_problem=bad.problem.value)


def _verdict_without_score(
    unscored: Unscorable | BadPicture, image_reference: str, worker: str, at: datetime, decision: Decision
) -> Verdict:
    frame, position = unscored.frame, unscored.position
    return Verdict(
        frame_id=frame.frame_id,
        station_id=unscored.station.id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        decided_at=at,
        decision=decision,
        score=None,
        threshold=None,
        components={},
        normal_set_id=None,
        detector=None,
        model_id=None,
        weights_sha256=None,
        image_reference=image_reference,
        content_type=unscored.content_type,
        map_reference=None,
        part_id=frame.part_id,
        truth=frame.truth,
        worker=worker,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        stamped_at=frame.stamped_at,
    )


def parked_frame(unscorable: Unscorable, image_reference: str, at: datetime) -> ParkedFrame:
    """Return the record of a frame that waits for its station's first normal set."""
    frame, position = unscorable.frame, unscorable.position
    return ParkedFrame(
        frame_id=frame.frame_id,
        station_id=unscorable.station.id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        parked_at=at,
        image_reference=image_reference,
        content_type=unscorable.content_type,
        part_id=frame.part_id,
        truth=frame.truth,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        stamped_at=frame.stamped_at,
    )


def dead_letter(rejected: Rejected, payload_reference: str, at: datetime) -> DeadLetter:
    """Return the dead letter of a message as it came; its station is what the message claims, if that can be read."""
    claimed = dict(rejected.message.headers).get("station")
    return DeadLetter(
        id=None,
        topic=rejected.position.topic,
        partition=rejected.position.partition,
        offset=rejected.position.offset,
        reason=rejected.reason,
        error=rejected.error,
        station=claimed.decode("utf-8", "replace") if claimed is not None else None,
        key=rejected.message.key or None,
        headers=rejected.message.headers,
        payload_reference=payload_reference,
        payload_bytes=len(rejected.message.value),
        occurred_at=at,
        replayed_at=None,
    )


def drop_report(deleted: DeletedRecords, at: datetime) -> DropReport:
    """Return the report of frames that were deleted unread; its id is that of their place, so it counts once."""
    position = deleted.position
    name = f"{position.topic}/{position.partition}/{position.offset}"
    return DropReport(uuid5(_DELETED_RECORDS, name), NO_STATION, DELETED_UNREAD, deleted.count, at, at)
