"""Which frame people call golden."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.errors import InvalidChange
from storage.line import golden_frames, stations, verdicts
from storage.line.golden_frames import GoldenFrame


def choose(session: Session, actor: Actor, frame_id: UUID, at: datetime) -> GoldenFrame:
    """Make this frame its station's golden one, with the score it has.

    Raises `PermissionDenied`, `NotFound`, and `InvalidChange` for a frame that was not scored.
    """
    who = authorize(session, actor, "golden_frame.set")
    verdict = verdicts.get(session, frame_id)
    if verdict.score is None or verdict.normal_set_id is None or verdict.model_id is None:
        raise InvalidChange("This frame was not scored, so it can't be a golden frame: choose one that was.")
    frame = GoldenFrame(
        verdict.station_id,
        verdict.image_reference,
        verdict.normal_set_id,
        verdict.model_id,
        verdict.score,
        who.name,
        at,
    )
    before = golden_frames.find(session, verdict.station_id)
    golden_frames.choose(session, frame)
    audit_log.record(
        session,
        who,
        "golden_frame.set",
        at,
        station=stations.name_of(session, verdict.station_id),
        subject=f"frame {frame_id}",
        before=before and {"image_reference": before.image_reference, "expected_score": before.expected_score},
        after={"image_reference": frame.image_reference, "expected_score": frame.expected_score},
    )
    return frame
