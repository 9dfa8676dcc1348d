"""Verdicts: what was decided of each frame, exactly one a frame, with everything it was decided by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Session

Decision = Literal["pass", "flag", "no_reference"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Score, threshold, decision and provenance of one frame.

    `score`, `threshold` and the model's fields are None exactly when the decision is ``no_reference``.
    """

    frame_id: UUID
    station_id: int
    captured_at: datetime
    published_at: datetime
    decided_at: datetime
    decision: Decision
    score: float | None
    threshold: float | None
    components: Mapping[str, float]
    normal_set_id: int | None
    detector: str | None
    model_id: str | None
    weights_sha256: str | None
    image_reference: str
    content_type: str
    map_reference: str | None
    part_id: str | None
    truth: str | None
    worker: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One time bucket of a station's verdicts; scores are None where nothing was scored."""

    started_at: datetime
    frames: int
    flagged: int
    score_mean: float | None
    score_max: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class StationSummary:
    """A station over a window, for the wall: newest verdict overall, counts and sparkline within the window."""

    station_id: int
    latest: Verdict | None
    frames: int
    flagged: int
    no_reference: int
    parked: int
    recent_scores: tuple[float, ...]  # oldest first, at most `sparkline`


def record(session: Session, verdicts: Sequence[Verdict]) -> int:
    """Write a batch, leaving out frames that already have a verdict; return how many were new."""
    raise NotImplementedError


def get(session: Session, frame_id: UUID) -> Verdict:
    raise NotImplementedError


def recent(
    session: Session,
    station_id: int | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    decision: Decision | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Verdict]:
    """Newest captured first."""
    raise NotImplementedError


def count(
    session: Session,
    station_id: int | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    decision: Decision | None = None,
) -> int:
    raise NotImplementedError


def trend(session: Session, station_id: int, since: datetime, until: datetime, bucket: timedelta) -> list[TrendPoint]:
    """Buckets counted from `since`, empty ones left out, oldest first."""
    raise NotImplementedError


def histogram(
    session: Session, station_id: int, since: datetime, until: datetime, bins: int
) -> list[tuple[float, float, int]]:
    """(low, high, frames) of equal-width score bins over the scores there are."""
    raise NotImplementedError


def summaries(session: Session, since: datetime, sparkline: int) -> list[StationSummary]:
    """One a station, also for stations without a verdict, in order of station id."""
    raise NotImplementedError
