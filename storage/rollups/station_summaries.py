"""Station summaries: every station during a window of time, as the wall shows it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, bindparam, func, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of
from storage.database.sql_functions import json_array_agg
from storage.database.tables import ParkedFrameRow, StationRow, UtcDateTime, VerdictRow
from storage.line.verdicts import Verdict
from storage.rollups import verdict_rollups


@dataclass(frozen=True, slots=True)
class StationSummary:
    """A station during a window of time.

    `latest` is the verdict recorded last at any time; the counts and scores are those of the window.
    """

    station_id: int
    latest: Verdict | None
    frames: int
    flagged: int
    no_reference: int
    parked: int
    recent_scores: tuple[float, ...]  # oldest first, at most `sparkline`
    bad_pictures: int = 0
    borderline: int = 0

    @property
    def scored(self) -> int:
        """The frames of the window that have a score."""
        return self.frames - self.no_reference - self.bad_pictures


def list_all(session: Session, since: datetime, sparkline: int) -> list[StationSummary]:
    """Return one summary per station, in order of station id, also for stations without a verdict.

    The window has no end, so that a camera whose clock is a little ahead is included.
    """
    cells = verdict_rollups.rollup_rows(since, None)
    totals = (func.sum(cells.c[name]) for name in verdict_rollups.COUNTS)
    by_station = session.execute(select(cells.c.station_id, *totals).group_by(cells.c.station_id))
    counted = {station_id: tuple(map(int, counts)) for station_id, *counts in by_station}
    waiting = select(ParkedFrameRow.station_id, func.count().label("frames")).group_by(ParkedFrameRow.station_id)
    parked = {row.station_id: row.frames for row in session.execute(waiting)}
    latest = {verdict.station_id: verdict for verdict in (Verdict(*row) for row in session.execute(_LATEST))}
    scores = session.execute(_RECENT_SCORES, {"since": since, "sparkline": sparkline})
    summaries = []
    for station_id, newest_first in scores:
        frames, flagged, no_reference, bad_pictures, borderline = counted.get(station_id, (0, 0, 0, 0, 0))
        summaries.append(
            StationSummary(
                station_id,
                latest.get(station_id),
                frames,
                flagged,
                no_reference,
                parked=parked.get(station_id, 0),
                recent_scores=tuple(float(score) for score in reversed(newest_first or ())),
                bad_pictures=bad_pictures,
                borderline=borderline,
            )
        )
    return summaries


_COLUMNS = columns_of(VerdictRow, Verdict)
_NEWEST_FIRST = (VerdictRow.captured_at.desc(), VerdictRow.id.desc())
_OF_STATION = VerdictRow.station_id == StationRow.id

# Built once, because building such a statement takes longer than executing it.
_newer = VerdictRow.__table__.alias("newer")
_LATEST = (
    select(*_COLUMNS)
    .select_from(StationRow)
    .join(
        VerdictRow,
        VerdictRow.id
        == select(_newer.c.id)
        .where(_newer.c.station_id == StationRow.id)
        .order_by(_newer.c.id.desc())  # in order of arrival, whatever a camera's clock says
        .limit(1)
        .scalar_subquery(),
    )
)
_scored = (
    select(VerdictRow.score)
    .where(_OF_STATION, VerdictRow.captured_at >= bindparam("since", type_=UtcDateTime), VerdictRow.score.is_not(None))
    .order_by(*_NEWEST_FIRST)
    .limit(bindparam("sparkline", type_=Integer))
    .correlate(StationRow)
    .subquery("scored")
)
_RECENT_SCORES = select(StationRow.id, select(json_array_agg(_scored.c.score)).scalar_subquery()).order_by(
    StationRow.id
)
