"""Search for frames, by their part or by their capture time."""

from collections import Counter
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of
from storage.database.tables import ReviewedFrameRow, VerdictRow
from storage.line.verdicts import Verdict


def by_part(
    session: Session,
    station_id: int,
    part_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 24,
) -> list[Verdict]:
    """Return a part's frames captured in [since, until), the newest first."""
    query = select(*_COLUMNS).where(VerdictRow.station_id == station_id, VerdictRow.part_id == part_id)
    if since is not None:
        query = query.where(VerdictRow.captured_at >= since)
    if until is not None:
        query = query.where(VerdictRow.captured_at < until)
    query = query.order_by(VerdictRow.captured_at.desc(), VerdictRow.id.desc()).limit(limit)
    return [Verdict(*row) for row in session.execute(query)]


def around(session: Session, station_id: int, at: datetime, *, before: int = 12, after: int = 12) -> list[Verdict]:
    """Return the station's frames captured nearest to `at`, the newest first."""
    of_station = select(*_COLUMNS).where(VerdictRow.station_id == station_id)
    later = of_station.where(VerdictRow.captured_at >= at).order_by(VerdictRow.captured_at, VerdictRow.id).limit(after)
    earlier = (
        of_station.where(VerdictRow.captured_at < at)
        .order_by(VerdictRow.captured_at.desc(), VerdictRow.id.desc())
        .limit(before)
    )
    newest_first = [Verdict(*row) for row in reversed(session.execute(later).all())]
    return newest_first + [Verdict(*row) for row in session.execute(earlier)]


def nearest_flagged(session: Session, station_id: int, at: datetime, limit: int = 6) -> list[Verdict]:
    """Return the station's flagged frames captured nearest to `at`, the nearest first."""
    flagged = select(*_COLUMNS).where(VerdictRow.station_id == station_id, VerdictRow.decision == "flag")
    later = flagged.where(VerdictRow.captured_at >= at).order_by(VerdictRow.captured_at, VerdictRow.id).limit(limit)
    earlier = (
        flagged.where(VerdictRow.captured_at < at)
        .order_by(VerdictRow.captured_at.desc(), VerdictRow.id.desc())
        .limit(limit)
    )
    found = [Verdict(*row) for query in (later, earlier) for row in session.execute(query)]
    return sorted(found, key=lambda verdict: abs(verdict.captured_at - at))[:limit]


def labels_of_passed_above(
    session: Session, station_id: int, score: float, since: datetime, until: datetime
) -> Counter[str]:
    """Count by label the reviewed frames captured in [since, until) that passed with this score or a higher one."""
    rows = session.execute(
        select(ReviewedFrameRow.label, func.count())
        .join(VerdictRow, VerdictRow.frame_id == ReviewedFrameRow.frame_id)
        .where(
            ReviewedFrameRow.station_id == station_id,
            ReviewedFrameRow.captured_at >= since,
            ReviewedFrameRow.captured_at < until,
            ReviewedFrameRow.decision == "pass",
            VerdictRow.score >= score,
        )
        .group_by(ReviewedFrameRow.label)
    )
    return Counter({row[0]: row[1] for row in rows})


_COLUMNS = columns_of(VerdictRow, Verdict)
