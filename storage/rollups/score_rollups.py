"""Score rollups: the number of each score, rounded down to three digits, at a station in one hour or day.

A histogram over weeks adds these up; only the ragged ends of its time range, at most an hour each, are read from the
verdicts. The bins' borders have three digits too, so that no frame is counted on the wrong side of one.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Insert, Select, delete, func, literal, select, union_all
from sqlalchemy.orm import Session

from foundation.clock import floor_to
from storage.database.rows import insert_for
from storage.database.sql_functions import integer_part
from storage.database.tables import ScoreRollupRow, VerdictRow
from storage.rollups.verdict_rollups import RangePart, RollupInput, split_range

WIDTHS = (timedelta(days=1), timedelta(hours=1))
_DIGITS = 3
_SMALLEST_STEP = -8  # as a power of ten: smaller scores are equal to 0
_TOLERANCE = 1e-9  # of a step, so that rounding errors do not turn 0.29 into 0.28
_ROWS_AT_ONCE = 20_000
_KEY = ("station_id", "width_s", "started_at", "score")

Bins = list[tuple[float, float, int]]


def add(session: Session, verdicts: Iterable[RollupInput]) -> None:
    """Count the scores of new verdicts, in the transaction that writes them."""
    found: Counter[tuple[int, int, datetime, float]] = Counter()
    for verdict in verdicts:
        if verdict.score is None:
            continue
        for width in WIDTHS:
            started_at = floor_to(verdict.captured_at, width)
            found[verdict.station_id, int(width.total_seconds()), started_at, rounded_down(verdict.score)] += 1
    if not found:
        return
    rows = [
        dict(zip(_KEY, key, strict=True), frames=found[key]) for key in sorted(found)
    ]  # in one order, against deadlocks
    session.execute(_adding(session.get_bind().dialect.name), rows)


@cache
def _adding(dialect: str) -> Insert:
    """Build the statement once: every batch of frames executes it."""
    statement = insert_for(dialect, ScoreRollupRow)
    return statement.on_conflict_do_update(
        index_elements=_KEY, set_={"frames": ScoreRollupRow.frames + statement.excluded.frames}
    )


def rebuild(session: Session) -> None:
    """Count all scores again.

    For use after verdicts were inserted or deleted by other means than `verdicts.record`.
    """
    session.execute(delete(ScoreRollupRow))
    query = select(
        VerdictRow.station_id, VerdictRow.captured_at, VerdictRow.decision, VerdictRow.score, VerdictRow.threshold
    )
    for rows in session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
        add(session, (RollupInput(*row) for row in rows))


def histogram(
    session: Session, station_id: int, since: datetime, until: datetime, low: float, high: float, bins: int
) -> Bins:
    """Return (low, high, frames) of at most `bins` bins of equal width; [low, high] spans the scores of that time."""
    step = step_of(max(abs(low), abs(high)))
    width = max(1, math.ceil((high - low) / bins / step - _TOLERANCE)) * step
    while (last := _bin_number(high, width)) - (first := _bin_number(low, width)) >= bins > 1:
        width += step
    parts = [_rows(part, station_id) for part in split_range(since, until, WIDTHS)]
    found = union_all(*parts).subquery("found")
    number = integer_part((found.c.score - first * width) / width + _TOLERANCE).label("number")
    frames = [0] * (last - first + 1)
    for index, total in session.execute(select(number, func.sum(found.c.frames)).group_by(number)):
        frames[min(max(index, 0), last - first)] += int(total)
    edges = [round((first + index) * width, -_SMALLEST_STEP) for index in range(len(frames) + 1)]
    return [(edges[index], edges[index + 1], total) for index, total in enumerate(frames)]


def rounded_down(score: float) -> float:
    """Return the score rounded down to three significant digits: 0.12399 to 0.123, -0.12301 to -0.124."""
    step = step_of(score)
    return round(math.floor(score / step + _TOLERANCE) * step, -_SMALLEST_STEP)


def step_of(score: float) -> float:
    """Return the distance of neighbouring three-digit numbers: 0.001 from 0.1 to 1, 0.01 from 1 to 10."""
    power = math.floor(math.log10(abs(score))) if score else _SMALLEST_STEP
    return float(10.0 ** max(power - _DIGITS + 1, _SMALLEST_STEP))


def _bin_number(score: float, width: float) -> int:
    return math.floor(score / width + _TOLERANCE)


def _rows(part: RangePart, station_id: int) -> Select[*tuple[Any, ...]]:
    rows: Select[*tuple[Any, ...]]
    if part.width is None:
        at = VerdictRow.captured_at
        rows = select(VerdictRow.score, literal(1).label("frames")).where(
            VerdictRow.station_id == station_id, VerdictRow.score.is_not(None)
        )
    else:
        at = ScoreRollupRow.started_at
        rows = select(ScoreRollupRow.score, ScoreRollupRow.frames).where(
            ScoreRollupRow.station_id == station_id, ScoreRollupRow.width_s == int(part.width.total_seconds())
        )
    return rows.where(at >= part.since, at < part.until)
