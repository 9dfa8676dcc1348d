"""Verdict rollups: sums over a station's verdicts of one minute, hour or day, so that totals need not count them.

A time range is split into parts: whole days, hours and minutes are read from rollups, and the ragged ends, at most a
minute each, from the verdicts. The result is exact for every range (docs/adr/0005).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeVarTuple

from sqlalchemy import Insert, Select, Subquery, and_, case, delete, func, literal, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from foundation.clock import EPOCH, ceil_to, floor_to
from storage.database.rows import insert_for, insert_into
from storage.database.sql_functions import bucket_start
from storage.database.tables import StationRow, VerdictRollupRow, VerdictRow

Ts = TypeVarTuple("Ts")
COUNTS = ("frames", "flagged", "no_reference", "bad_pictures", "borderline")
"""The columns that count verdicts: all of them, those of each decision but ``pass``, and those that pass to review."""

WIDTHS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1))  # each a whole multiple of the next


class RollupInput(NamedTuple):
    """The fields of a verdict that rollups add up."""

    station_id: int
    captured_at: datetime
    decision: str
    score: float | None
    threshold: float | None
    borderline: bool = False


@dataclass(frozen=True, slots=True)
class RangePart:
    """A part [since, until) of a time range; with `width` None it is read from the verdicts."""

    width: timedelta | None
    since: datetime | None
    until: datetime | None


def split_range(
    since: datetime | None, until: datetime | None, widths: Sequence[timedelta] = WIDTHS
) -> list[RangePart]:
    """Split [since, until) into whole buckets of the widest widths that fit, and ragged ends; None is unbounded."""
    if since is not None and until is not None and since >= until:
        return []
    if not widths:
        return [RangePart(None, since, until)]
    width, narrower = widths[0], widths[1:]
    first = None if since is None else ceil_to(since, width)
    last = None if until is None else floor_to(until, width)
    if first is not None and last is not None and first >= last:
        return split_range(since, until, narrower)
    head = split_range(since, first, narrower) if since is not None and since != first else []
    tail = split_range(last, until, narrower) if until is not None and until != last else []
    return [*head, RangePart(width, first, last), *tail]


def rollup_rows(
    since: datetime | None,
    until: datetime | None,
    station_id: int | None = None,
    bucket: timedelta | None = None,
) -> Subquery:
    """Return a subquery with the columns of a rollup whose rows add up to the verdicts captured in [since, until).

    With `bucket` no row crosses the border of a bucket, counted from 1970.
    """
    widths = [width for width in WIDTHS if bucket is None or bucket % width == timedelta(0)]
    parts = split_range(since, until, widths) or [RangePart(None, EPOCH, EPOCH)]  # the second is an empty range
    return union_all(*(_rows(part, station_id) for part in parts)).subquery("cells")


def add(session: Session, verdicts: Iterable[RollupInput]) -> None:
    """Add new verdicts, in the transaction that writes them."""
    sums: dict[tuple[int, int, datetime], dict[str, Any]] = {}
    for verdict in verdicts:
        for width in WIDTHS:
            started_at = floor_to(verdict.captured_at, width)
            key = (verdict.station_id, int(width.total_seconds()), started_at)
            _add_to(sums.setdefault(key, _empty(*key)), verdict)
    if not sums:
        return
    statement = _adding(session.get_bind().dialect.name)
    # Always in one order, so that two processes can't deadlock.
    session.execute(statement, [sums[key] for key in sorted(sums)])


@cache
def _adding(dialect: str) -> Insert:
    """Build the statement once: every batch of frames executes it."""
    statement = insert_for(dialect, VerdictRollupRow)
    new, old = statement.excluded, VerdictRollupRow
    added = {name: getattr(old, name) + new[name] for name in (*COUNTS, "score_sum")}
    return statement.on_conflict_do_update(
        index_elements=["station_id", "width_s", "started_at"],
        set_={
            **added,
            "score_min": _extreme(old.score_min, new.score_min, old.score_min > new.score_min),
            "score_max": _extreme(old.score_max, new.score_max, old.score_max < new.score_max),
            "threshold_max": _extreme(old.threshold_max, new.threshold_max, old.threshold_max < new.threshold_max),
        },
    )


def rebuild(session: Session) -> None:
    """Compute all rollups again.

    For use after verdicts were inserted or deleted by other means than `verdicts.record`.
    """
    session.execute(delete(VerdictRollupRow))
    names = [column.name for column in VerdictRollupRow.__table__.columns]
    for width in WIDTHS:
        started_at = bucket_start(VerdictRow.captured_at, width).label("started_at")
        counted = select(
            VerdictRow.station_id,
            literal(int(width.total_seconds())).label("width_s"),
            started_at,
            func.count().label("frames"),
            func.sum(_one_if("flag")).label("flagged"),
            func.sum(_one_if("no_reference")).label("no_reference"),
            func.coalesce(func.sum(VerdictRow.score), 0.0).label("score_sum"),
            func.min(VerdictRow.score).label("score_min"),
            func.max(VerdictRow.score).label("score_max"),
            func.max(VerdictRow.threshold).label("threshold_max"),
            func.sum(_one_if("bad_picture")).label("bad_pictures"),
            func.sum(case((is_borderline(), 1), else_=0)).label("borderline"),
        ).group_by(VerdictRow.station_id, started_at)
        session.execute(insert_into(session, VerdictRollupRow).from_select(names, counted))


def _rows(part: RangePart, station_id: int | None) -> Select[*tuple[Any, ...]]:
    if part.width is None:
        rows = select(
            VerdictRow.station_id,
            VerdictRow.captured_at.label("started_at"),
            literal(1).label("frames"),
            _one_if("flag").label("flagged"),
            _one_if("no_reference").label("no_reference"),
            func.coalesce(VerdictRow.score, 0.0).label("score_sum"),
            VerdictRow.score.label("score_min"),
            VerdictRow.score.label("score_max"),
            VerdictRow.threshold.label("threshold_max"),
            _one_if("bad_picture").label("bad_pictures"),
            case((is_borderline(), 1), else_=0).label("borderline"),
        )
        return _within(rows, VerdictRow.captured_at, VerdictRow.station_id, part, station_id)
    rows = select(
        VerdictRollupRow.station_id,
        VerdictRollupRow.started_at,
        VerdictRollupRow.frames,
        VerdictRollupRow.flagged,
        VerdictRollupRow.no_reference,
        VerdictRollupRow.score_sum,
        VerdictRollupRow.score_min,
        VerdictRollupRow.score_max,
        VerdictRollupRow.threshold_max,
        VerdictRollupRow.bad_pictures,
        VerdictRollupRow.borderline,
    ).where(VerdictRollupRow.width_s == int(part.width.total_seconds()))
    if station_id is None:  # the key begins with the station, so the ranges are looked up station by station
        rows = rows.where(VerdictRollupRow.station_id.in_(select(StationRow.id)))
    return _within(rows, VerdictRollupRow.started_at, VerdictRollupRow.station_id, part, station_id)


def _within(rows: Select[*Ts], at: Any, station: Any, part: RangePart, station_id: int | None) -> Select[*Ts]:
    if station_id is not None:
        rows = rows.where(station == station_id)
    if part.since is not None:
        rows = rows.where(at >= part.since)
    if part.until is not None:
        rows = rows.where(at < part.until)
    return rows


def is_borderline() -> ColumnElement[bool]:
    """Return the condition that a verdict is borderline; one without a review limit is not."""
    return and_(VerdictRow.decision == "pass", VerdictRow.score > VerdictRow.review_limit)


def _one_if(decision: str) -> ColumnElement[int]:
    return case((VerdictRow.decision == decision, 1), else_=0)


def _extreme(old: Any, new: Any, new_is_beyond: Any) -> ColumnElement[float]:
    return case((old.is_(None), new), (new_is_beyond, new), else_=old)


def _empty(station_id: int, width_s: int, started_at: datetime) -> dict[str, Any]:
    return {
        "station_id": station_id,
        "width_s": width_s,
        "started_at": started_at,
        **dict.fromkeys(COUNTS, 0),
        "score_sum": 0.0,
        "score_min": None,
        "score_max": None,
        "threshold_max": None,
    }


def _add_to(rollup: dict[str, Any], verdict: RollupInput) -> None:
    rollup["frames"] += 1
    rollup["flagged"] += verdict.decision == "flag"
    rollup["no_reference"] += verdict.decision == "no_reference"
    rollup["bad_pictures"] += verdict.decision == "bad_picture"
    rollup["borderline"] += verdict.borderline
    if verdict.score is not None:
        rollup["score_sum"] += verdict.score
        rollup["score_min"] = verdict.score if rollup["score_min"] is None else min(rollup["score_min"], verdict.score)
        rollup["score_max"] = verdict.score if rollup["score_max"] is None else max(rollup["score_max"], verdict.score)
    if verdict.threshold is not None:
        highest = rollup["threshold_max"]
        rollup["threshold_max"] = verdict.threshold if highest is None else max(highest, verdict.threshold)
