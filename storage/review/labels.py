"""Reviewed frames: the word that counts of each, and how many there are of which word."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVarTuple
from uuid import UUID

from sqlalchemy import Select, String, cast, func, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of
from storage.database.sql_functions import periods_table
from storage.database.tables import ReviewedFrameRow

Ts = TypeVarTuple("Ts")
Label = Literal["defect", "false_alarm", "unsure"]

LABELS: tuple[Label, ...] = ("defect", "false_alarm", "unsure")


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many frames of a station were called what, by the words that count now.

    Those `drawn` are among the passed ones, too: they were drawn at random for review.
    """

    station_id: int
    flagged_defect: int = 0
    flagged_false_alarm: int = 0
    flagged_unsure: int = 0
    passed_defect: int = 0  # escapes
    passed_false_alarm: int = 0  # confirmed as good
    passed_unsure: int = 0
    sampled_defect: int = 0
    sampled_false_alarm: int = 0
    sampled_unsure: int = 0


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """The word that counts of one frame."""

    frame_id: UUID
    review_id: int
    station_id: int
    captured_at: datetime
    decision: str
    label: Label
    tags: tuple[str, ...]


def current(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, LabelledFrame]:
    """Frame id → the word that counts, for those that have one."""
    rows = session.execute(select(*_REVIEWED).where(ReviewedFrameRow.frame_id.in_(list(frame_ids))))
    return {row.frame_id: _reviewed(row) for row in rows}


def recent(
    session: Session,
    station_id: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    label: Label | None = None,
    decision: Literal["flag", "pass"] | None = None,
    limit: int = 100,
) -> list[LabelledFrame]:
    """A station's reviewed frames, newest captured first, of those captured at `since` or later and before `until`."""
    query = _within(select(*_REVIEWED), station_id, since, until)
    if label is not None:
        query = query.where(ReviewedFrameRow.label == label)
    if decision is not None:
        query = query.where(ReviewedFrameRow.decision == decision)
    query = query.order_by(ReviewedFrameRow.captured_at.desc(), ReviewedFrameRow.frame_id.desc()).limit(limit)
    return [_reviewed(row) for row in session.execute(query)]


def counts(
    session: Session, station_id: int | None = None, *, since: datetime | None = None, until: datetime | None = None
) -> list[LabelCounts]:
    """One a station with reviews, in order of station id, of frames captured at `since` or later and before `until`."""
    rows = session.execute(_within(select(*_GROUPED, func.count()), station_id, since, until).group_by(*_GROUPED))
    return _counts(tuple(row) for row in rows)


def counts_by_period(session: Session, periods: Sequence[tuple[datetime, datetime]]) -> list[list[LabelCounts]]:
    """As `counts` of all stations, for each of the periods [since, until) in their order; one query for all of them."""
    during = periods_table([(number, *period) for number, period in enumerate(periods)], "during")
    at = ReviewedFrameRow.captured_at
    rows = session.execute(
        select(during.c.number, *_GROUPED, func.count())
        .where(at >= during.c.since, at < during.c.until)
        .group_by(during.c.number, *_GROUPED)
    )
    found: list[list[tuple[Any, ...]]] = [[] for _ in periods]
    for number, *row in rows:
        found[number].append(tuple(row))
    return [_counts(rows) for rows in found]


def tag_counts(
    session: Session,
    station_id: int | Collection[int] | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Counter[str]:
    """How often each defect type was named on frames called a defect, at one station, some or all.

    A defect without a type counts as an empty one.
    """
    as_text = cast(ReviewedFrameRow.tags, String)  # few different lists, so few are read as JSON
    query = _within(select(as_text, func.count()), station_id, since, until).where(ReviewedFrameRow.label == "defect")
    found: Counter[str] = Counter()
    for tags, frames in session.execute(query.group_by(as_text)):
        for tag in json.loads(tags) or [""]:
            found[tag] += frames
    return found


_REVIEWED = columns_of(ReviewedFrameRow, LabelledFrame)
_GROUPED = (ReviewedFrameRow.station_id, ReviewedFrameRow.decision, ReviewedFrameRow.label, ReviewedFrameRow.sampled)
_COUNTED_AS = {"flag": "flagged", "pass": "passed"}


def _counts(rows: Iterable[tuple[Any, ...]]) -> list[LabelCounts]:
    """One a station, of rows (station id, decision, word, sampled, frames)."""
    found: dict[int, Counter[str]] = {}
    for at_station, decision, label, sampled, frames in rows:
        if decision in _COUNTED_AS:
            found.setdefault(at_station, Counter())[f"{_COUNTED_AS[decision]}_{label}"] += frames
            if sampled:
                found[at_station][f"drawn_{label}"] += frames
    return [LabelCounts(at_station, **found[at_station]) for at_station in sorted(found)]


def _reviewed(row: Any) -> LabelledFrame:
    return LabelledFrame(**(dict(row._mapping) | {"tags": tuple(row.tags)}))


def _within(
    query: Select[*Ts], station_id: int | Collection[int] | None, since: datetime | None, until: datetime | None
) -> Select[*Ts]:
    if isinstance(station_id, int):
        query = query.where(ReviewedFrameRow.station_id == station_id)
    elif station_id is not None:
        query = query.where(ReviewedFrameRow.station_id.in_(station_id))
    if since is not None:
        query = query.where(ReviewedFrameRow.captured_at >= since)
    return query if until is None else query.where(ReviewedFrameRow.captured_at < until)
