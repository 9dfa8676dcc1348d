"""What alert rules and control charts read repeatedly: few columns, and only what is new."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from storage.database.tables import AlertRow, DeadLetterRow, DropRow, MuteRow, NormalSetRow, VerdictRow
from storage.line.arrival import arrival

_VERDICT_COLUMNS = (
    VerdictRow.id,
    VerdictRow.station_id,
    VerdictRow.captured_at,
    VerdictRow.published_at,
    VerdictRow.decided_at,
    VerdictRow.decision,
    VerdictRow.score,
    VerdictRow.normal_set_id,
    VerdictRow.model_id,
    VerdictRow.stamped_at,
    VerdictRow.picture_problem,
    VerdictRow.mask_version,
)


class ScoreScale(NamedTuple):
    """What scores were made with; those of one scale can be compared."""

    normal_set_id: int
    model_id: str
    mask_version: int


@dataclass(frozen=True, slots=True)
class VerdictEvent:
    """The fields of a verdict that rules and charts use; `id` increases in the order of recording.

    `arrived_at` is when the frame arrived, by a clock that can be believed; `stamped_at` is the camera's own time where
    it can't be true.
    """

    id: int
    station_id: int
    captured_at: datetime
    published_at: datetime
    decided_at: datetime
    decision: str
    score: float | None
    normal_set_id: int | None
    model_id: str | None
    stamped_at: datetime | None = None
    picture_problem: str | None = None
    mask_version: int = 0
    arrived_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Set the time of arrival, which rules read often."""
        object.__setattr__(self, "arrived_at", arrival(self.published_at, self.decided_at))

    @property
    def scale(self) -> ScoreScale | None:
        """What its score was made with; None without a score."""
        if self.normal_set_id is None or self.model_id is None:
            return None
        return ScoreScale(self.normal_set_id, self.model_id, self.mask_version)


@dataclass(frozen=True, slots=True)
class DeadLetterEvent:
    """The fields of a dead letter that the rule on bursts uses."""

    occurred_at: datetime
    reason: str
    station: str | None


@dataclass(frozen=True, slots=True)
class DropEvent:
    """The fields of a report of lost frames that rules use; `last_at` is when it last grew."""

    frames: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ActiveNormalSet:
    """A station's active normal set, and since when it is active."""

    normal_set_id: int
    version: int
    activated_at: datetime


def verdicts_after(session: Session, verdict_id: int, limit: int) -> list[VerdictEvent]:
    """Return verdicts recorded after the one with this id, in the order of recording."""
    query = select(*_VERDICT_COLUMNS).where(VerdictRow.id > verdict_id).order_by(VerdictRow.id).limit(limit)
    return [_event(row) for row in session.execute(query)]


def newest_verdicts(session: Session, station_id: int, limit: int) -> list[VerdictEvent]:
    """Return the station's newest verdicts in order of arrival, oldest first."""
    query = select(*_VERDICT_COLUMNS).where(VerdictRow.station_id == station_id)
    rows = session.execute(query.order_by(VerdictRow.id.desc()).limit(limit))
    return [_event(row) for row in reversed(rows.all())]


def last_verdict_id(session: Session) -> int:
    """Return the id of the verdict recorded last; 0 without any."""
    return session.scalar(select(func.max(VerdictRow.id))) or 0


def passed_since(
    session: Session, station_id: int, scale: ScoreScale, since: datetime, limit: int
) -> list[VerdictEvent]:
    """Return the first frames after `since` that passed with scores of this scale, oldest first."""
    query = (
        select(*_VERDICT_COLUMNS)
        .where(
            VerdictRow.station_id == station_id,
            VerdictRow.decision == "pass",
            VerdictRow.captured_at > since,
            VerdictRow.normal_set_id == scale.normal_set_id,
            VerdictRow.model_id == scale.model_id,
            VerdictRow.mask_version == scale.mask_version,
        )
        .order_by(VerdictRow.captured_at, VerdictRow.id)
        .limit(limit)
    )
    return [_event(row) for row in session.execute(query)]


def dead_letters_since(session: Session, since: datetime, limit: int) -> list[DeadLetterEvent]:
    """Return the newest dead letters since then, oldest first."""
    query = (
        select(DeadLetterRow.occurred_at, DeadLetterRow.reason, DeadLetterRow.station)
        .where(DeadLetterRow.occurred_at >= since)
        .order_by(DeadLetterRow.occurred_at.desc())
        .limit(limit)
    )
    return [DeadLetterEvent(*row) for row in reversed(session.execute(query).all())]


def drops_since(session: Session, since: datetime, reason: str) -> list[DropEvent]:
    """Return the reports of frames lost for this reason that grew since then."""
    query = select(DropRow.frames, DropRow.last_at).where(DropRow.last_at >= since, DropRow.reason == reason)
    return [DropEvent(*row) for row in session.execute(query.order_by(DropRow.last_at))]


def active_normal_sets(session: Session) -> Mapping[int, ActiveNormalSet]:
    """Return the active normal sets by station id."""
    rows = session.execute(
        select(NormalSetRow.station_id, NormalSetRow.id, NormalSetRow.version, NormalSetRow.activated_at).where(
            NormalSetRow.state == "active", NormalSetRow.activated_at.is_not(None)
        )
    )
    return {
        station_id: ActiveNormalSet(set_id, version, activated_at)
        for station_id, set_id, version, activated_at in rows
        if activated_at is not None
    }


def last_resolved(session: Session) -> Mapping[tuple[int | None, str], datetime]:
    """Return by (station id or None for the line, rule) when the newest resolved alert was resolved."""
    rows = session.execute(
        select(AlertRow.station_id, AlertRow.rule, func.max(AlertRow.resolved_at))
        .where(AlertRow.resolved_at.is_not(None))
        .group_by(AlertRow.station_id, AlertRow.rule)
    )
    return {(station_id, rule): at for station_id, rule, at in rows if at is not None}


def last_unmuted(session: Session, at: datetime) -> Mapping[int, datetime]:
    """Return by station id when the newest mute that is over at `at` ended."""
    ended = case((MuteRow.ended_at.is_not(None), MuteRow.ended_at), else_=MuteRow.until_at)
    rows = session.execute(select(MuteRow.station_id, func.max(ended)).where(ended <= at).group_by(MuteRow.station_id))
    return {row[0]: row[1] for row in rows}


def _event(row: Any) -> VerdictEvent:
    return VerdictEvent(*row)
