"""Actions on golden frames."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.auth.actors import Actor
from storage.errors import InvalidChange
from storage.line import golden_frames, stations, verdicts
from storage.line.golden_frames import GoldenFrame


def choose(session: Session, actor: Actor, frame_id: UUID, at: datetime) -> GoldenFrame:
    """Make this frame the golden frame of its station, with the score of its verdict as the expected one.

    Raises `NotFound`, and `InvalidChange` for a frame that was not scored.
    """
    with audited(session, actor, "golden_frame.set", at, f"frame {frame_id}") as change:
        verdict = verdicts.get(session, frame_id)
        if verdict.score is None or verdict.normal_set_id is None or verdict.model_id is None:
            raise InvalidChange("This frame was not scored, so it cannot be a golden frame: choose one that was.")
        frame = GoldenFrame(
            station_id=verdict.station_id,
            image_reference=verdict.image_reference,
            normal_set_id=verdict.normal_set_id,
            model_id=verdict.model_id,
            expected_score=verdict.score,
            chosen_by=change.actor.name,
            chosen_at=at,
        )
        change.station = stations.name_of(session, verdict.station_id)
        change.before = _expectation(golden_frames.find(session, verdict.station_id))
        golden_frames.choose(session, frame)
        change.after = _expectation(frame)
    return frame


def _expectation(frame: GoldenFrame | None) -> dict[str, Any] | None:
    if frame is None:
        return None
    return {
        "image_reference": frame.image_reference,
        "expected_score": frame.expected_score,
        "chosen_at": frame.chosen_at,
    }
