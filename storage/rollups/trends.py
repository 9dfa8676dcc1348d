"""Trends and histograms of a station's scores over a time range, read from rollups."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.database.sql_functions import bucket_start
from storage.errors import InvalidChange
from storage.rollups import score_rollups, verdict_rollups
from storage.rollups.score_rollups import Bins


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One time bucket of a station's verdicts; scores are None where no frame was scored."""

    started_at: datetime
    frames: int
    flagged: int
    score_mean: float | None
    score_max: float | None
    threshold: float | None


def trend(session: Session, station_id: int, since: datetime, until: datetime, bucket: timedelta) -> list[TrendPoint]:
    """Return the buckets of frames captured in [since, until), oldest first; empty ones are left out.

    Buckets are whole multiples of `bucket` since 1970 (UTC), so that the points of a live chart stay where they are
    while its window moves; the first and the last bucket hold only what is in the window. Fastest when `bucket` is
    whole minutes. Raises `InvalidChange` for a bucket of no length.
    """
    if bucket <= timedelta(0):
        raise InvalidChange("A trend's bucket has a length above 0, such as one minute.")
    cells = verdict_rollups.rollup_rows(since, until, station_id, bucket)
    started_at = bucket_start(cells.c.started_at, bucket).label("bucket_started_at")
    scored = func.sum(cells.c.frames - cells.c.no_reference - cells.c.bad_pictures)
    rows = session.execute(
        select(
            started_at,
            func.sum(cells.c.frames),
            func.sum(cells.c.flagged),
            func.sum(cells.c.score_sum) / func.nullif(scored, 0),
            func.max(cells.c.score_max),
            func.max(cells.c.threshold_max),
        )
        .group_by(started_at)
        .order_by(started_at)
    )
    return [TrendPoint(at, int(frames), int(flagged), *scores) for at, frames, flagged, *scores in rows]


def histogram(session: Session, station_id: int, since: datetime, until: datetime, bins: int) -> Bins:
    """Return (low, high, frames) of score bins of equal width; empty where nothing was scored.

    There are at most `bins` bins, as wide as a number of three digits allows, over frames captured in [since, until). A
    bin counts scores in [low, high): bins from a threshold on count the frames that it flags, and those that equal it.
    """
    if bins < 1:
        raise InvalidChange("A histogram has at least one bin.")
    cells = verdict_rollups.rollup_rows(since, until, station_id)
    low, high = session.execute(select(func.min(cells.c.score_min), func.max(cells.c.score_max))).one()
    return [] if low is None else score_rollups.histogram(session, station_id, since, until, low, high, bins)
