"""Thresholds per (station, normal set, model); the history is stored, the newest is in force."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import Select, bindparam, func, insert, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, row_of
from storage.database.tables import ThresholdRow
from storage.database.truncate import truncate
from storage.errors import InvalidChange

ThresholdKind = Literal["calibrated", "manual", "reviewed", "estimated"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score above `value` is flagged, as `storage.line.decision.decide` does.

    A frame that passes with a score above `review_limit` is borderline and goes to review; None where the threshold is
    from before such limits existed. `guarantee` states in words what this threshold can guarantee. A threshold is
    calibrated from the normal set alone, estimated from frames that nobody reviewed, reviewed when people's labels on
    frames were used, or set manually for a `reason`. `false_reject_rate` is the
    station's when the threshold was made, and `references_digest` a digest of what its references depended on beside
    the model: at another rate, or with other references, a new threshold is due.
    """

    station_id: int
    normal_set_id: int
    model_id: str
    value: float
    false_reject_rate: float
    guarantee: str
    made_at: datetime
    made_by: str
    kind: ThresholdKind = "calibrated"
    reason: str = ""
    references_digest: str | None = None
    review_limit: float | None = None


def record(session: Session, threshold: Threshold) -> None:
    """Put a threshold in force.

    Raises `InvalidChange` for a value or review limit that is not a finite number, or a review limit above the value.
    """
    limit = threshold.value if threshold.review_limit is None else threshold.review_limit
    if not (math.isfinite(threshold.value) and math.isfinite(limit)):
        raise InvalidChange(f"A threshold is a finite number: {threshold.value} cannot be compared with a score.")
    if limit != min(limit, threshold.value):
        raise InvalidChange(f"A review limit, {limit}, is not above its threshold, {threshold.value}.")
    row = row_of(threshold) | {
        "guarantee": truncate(threshold.guarantee, 500),
        "made_by": truncate(threshold.made_by, 120),
        "reason": truncate(threshold.reason, 500),
    }
    session.execute(insert(ThresholdRow).values(**row))


def current(session: Session, station_id: int, normal_set_id: int, model_id: str) -> Threshold | None:
    """Return the threshold in force; None where this model was not calibrated for this normal set."""
    row = session.execute(
        _newest_first()
        .where(
            ThresholdRow.station_id == station_id,
            ThresholdRow.normal_set_id == normal_set_id,
            ThresholdRow.model_id == model_id,
        )
        .limit(1)
    ).first()
    return None if row is None else Threshold(*row)


def in_force(session: Session, normal_set_ids: Collection[int]) -> Mapping[tuple[int, str], Threshold]:
    """Return the thresholds in force of these normal sets, by (normal set id, model id)."""
    found = [Threshold(*row) for row in session.execute(_in_force(), {"sets": list(normal_set_ids)})]
    return {(threshold.normal_set_id, threshold.model_id): threshold for threshold in found}


@cache
def _in_force() -> Select[Any]:
    """Build the statement once: it is executed for every batch of frames."""
    newest = (
        select(func.max(ThresholdRow.id))
        .where(ThresholdRow.normal_set_id.in_(bindparam("sets", expanding=True)))
        .group_by(ThresholdRow.station_id, ThresholdRow.normal_set_id, ThresholdRow.model_id)
    )
    return _newest_first().where(ThresholdRow.id.in_(newest))


def history(session: Session, station_id: int) -> list[Threshold]:
    """Return the station's thresholds, newest first."""
    return [Threshold(*row) for row in session.execute(_newest_first().where(ThresholdRow.station_id == station_id))]


def history_of(session: Session, station_id: int, normal_set_id: int, model_id: str) -> list[Threshold]:
    """Return the thresholds of one normal set and model, newest first."""
    found = history(session, station_id)
    return [one for one in found if (one.normal_set_id, one.model_id) == (normal_set_id, model_id)]


def _newest_first() -> Select[Any]:
    return select(*columns_of(ThresholdRow, Threshold)).order_by(ThresholdRow.id.desc())
