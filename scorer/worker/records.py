"""From what the worker found out to the records that storage keeps."""

from datetime import datetime

from scorer.worker.decode import Decoded, Rejected
from scorer.worker.score import Scored
from storage.line.dead_letters import DeadLetter
from storage.line.decision import decide
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station
from storage.line.verdicts import Verdict


def scored_verdict(judged: Scored, image_reference: str, map_reference: str, worker: str, at: datetime) -> Verdict:
    """A score above the threshold is flagged; everything it was decided by goes along."""
    standard, pictured = judged.ready.standard, judged.ready.pictured
    frame, position = pictured.arrived.frame, pictured.arrived.position
    return Verdict(
        frame_id=frame.frame_id,
        station_id=standard.station.id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        decided_at=at,
        decision=decide(judged.score, standard.threshold.value),
        score=judged.score,
        threshold=standard.threshold.value,
        components=judged.components,
        normal_set_id=standard.threshold.normal_set_id,
        detector=standard.detector.name,
        model_id=standard.detector.model_id,
        weights_sha256=standard.detector.weights_sha256,
        image_reference=image_reference,
        content_type=pictured.prepared.content_type,
        map_reference=map_reference,
        part_id=frame.part_id,
        truth=frame.truth,
        worker=worker,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
    )


def unscored_verdict(pictured: Decoded, station: Station, image_reference: str, worker: str, at: datetime) -> Verdict:
    """The verdict of a frame whose station has no normal set and asked not to wait for one."""
    frame, position = pictured.arrived.frame, pictured.arrived.position
    return Verdict(
        frame_id=frame.frame_id,
        station_id=station.id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        decided_at=at,
        decision="no_reference",
        score=None,
        threshold=None,
        components={},
        normal_set_id=None,
        detector=None,
        model_id=None,
        weights_sha256=None,
        image_reference=image_reference,
        content_type=pictured.prepared.content_type,
        map_reference=None,
        part_id=frame.part_id,
        truth=frame.truth,
        worker=worker,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
    )


def parked_frame(pictured: Decoded, station: Station, image_reference: str, at: datetime) -> ParkedFrame:
    """A frame that waits for its station's first normal set."""
    frame, position = pictured.arrived.frame, pictured.arrived.position
    return ParkedFrame(
        frame_id=frame.frame_id,
        station_id=station.id,
        captured_at=frame.captured_at,
        published_at=frame.published_at,
        parked_at=at,
        image_reference=image_reference,
        content_type=pictured.prepared.content_type,
        part_id=frame.part_id,
        truth=frame.truth,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
    )


def dead_letter(refused: Rejected, payload_reference: str, at: datetime) -> DeadLetter:
    """The message as it came; the station is what it claims, if that can be read."""
    claimed = dict(refused.message.headers).get("station")
    return DeadLetter(
        id=None,
        topic=refused.position.topic,
        partition=refused.position.partition,
        offset=refused.position.offset,
        reason=refused.reason,
        error=refused.error,
        station=claimed.decode("utf-8", "replace") if claimed is not None else None,
        key=refused.message.key or None,
        headers=refused.message.headers,
        payload_reference=payload_reference,
        payload_bytes=len(refused.message.value),
        occurred_at=at,
        replayed_at=None,
    )
