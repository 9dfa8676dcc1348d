"""Labels: the label in force of each reviewed frame, and counts of frames by label."""

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
from storage.database.tables import ReviewedFrameRow, VerdictRow

Ts = TypeVarTuple("Ts")
Label = Literal["defect", "false_alarm", "unsure"]

LABELS: tuple[Label, ...] = ("defect", "false_alarm", "unsure")
"""A false alarm is a good part, whether it was flagged or is confirmed after it passed."""


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Numbers of a station's frames by decision and label in force.

    Frames of the random sample are counted as `sampled_...` and as `passed_...`.
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
    """A frame with its label in force; `decision` is that of its verdict."""

    frame_id: UUID
    review_id: int
    station_id: int
    captured_at: datetime
    decision: str
    label: Label
    tags: tuple[str, ...]


def current(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, LabelledFrame]:
    """Return the label in force by frame id; frames without a label are left out."""
    rows = session.execute(select(*_COLUMNS).where(ReviewedFrameRow.frame_id.in_(list(frame_ids))))
    return {row.frame_id: _labelled(row) for row in rows}


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
    """Return a station's labelled frames captured in [since, until), the newest captured first."""
    query = _within(select(*_COLUMNS), station_id, since, until)
    if label is not None:
        query = query.where(ReviewedFrameRow.label == label)
    if decision is not None:
        query = query.where(ReviewedFrameRow.decision == decision)
    query = query.order_by(ReviewedFrameRow.captured_at.desc(), ReviewedFrameRow.frame_id.desc()).limit(limit)
    return [_labelled(row) for row in session.execute(query)]


def counts(
    session: Session, station_id: int | None = None, *, since: datetime | None = None, until: datetime | None = None
) -> list[LabelCounts]:
    """Return the counts of frames captured in [since, until), one per station with labels, in order of station id."""
    rows = session.execute(_within(select(*_GROUPED, func.count()), station_id, since, until).group_by(*_GROUPED))
    return _counts(tuple(row) for row in rows)


def counts_by_period(session: Session, periods: Sequence[tuple[datetime, datetime]]) -> list[list[LabelCounts]]:
    """Return the `counts` of all stations for each period [since, until), in the order given, by one query."""
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


def defect_images(session: Session, station_id: int, image_references: Collection[str]) -> set[str]:
    """Return those of these images whose frames at this station are labelled a defect."""
    query = (
        select(VerdictRow.image_reference)
        .join(ReviewedFrameRow, ReviewedFrameRow.frame_id == VerdictRow.frame_id)
        .where(ReviewedFrameRow.station_id == station_id, ReviewedFrameRow.label == "defect")
    )
    return set(session.scalars(query)) & set(image_references)


def tag_counts(
    session: Session,
    station_id: int | Collection[int] | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Counter[str]:
    """Count the defect types of frames labelled a defect, at one station, several or, with None, all.

    A defect without a type is counted under the empty string.
    """
    as_text = cast(ReviewedFrameRow.tags, String)  # there are few distinct lists, so little JSON is parsed
    query = _within(select(as_text, func.count()), station_id, since, until).where(ReviewedFrameRow.label == "defect")
    found: Counter[str] = Counter()
    for tags, frames in session.execute(query.group_by(as_text)):
        for tag in json.loads(tags) or [""]:
            found[tag] += frames
    return found


_COLUMNS = columns_of(ReviewedFrameRow, LabelledFrame)
_GROUPED = (ReviewedFrameRow.station_id, ReviewedFrameRow.decision, ReviewedFrameRow.label, ReviewedFrameRow.sampled)
_PREFIXES = {"flag": "flagged", "pass": "passed"}


def _counts(rows: Iterable[tuple[Any, ...]]) -> list[LabelCounts]:
    """One per station, from rows (station id, decision, label, sampled, frames)."""
    found: dict[int, Counter[str]] = {}
    for station_id, decision, label, sampled, frames in rows:
        if decision in _PREFIXES:
            found.setdefault(station_id, Counter())[f"{_PREFIXES[decision]}_{label}"] += frames
            if sampled:
                found[station_id][f"sampled_{label}"] += frames
    return [LabelCounts(station_id, **found[station_id]) for station_id in sorted(found)]


def _labelled(row: Any) -> LabelledFrame:
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
