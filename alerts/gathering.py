"""From the database to KPIs and the shift report, for pages and commands alike."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from alerts.kpis import Counts, Row, kpis, pareto
from alerts.shift_report import TREND_BUCKET, ShiftReport, StationPart
from alerts.shifts import Period, Plant
from storage import alerts, reviewed, totals, verdicts
from storage.reviewed import ReviewCounts
from storage.stations import Station
from storage.totals import Totals

Grouping = Literal["shift", "day", "station"]


ALERTS_MOST = 1000  # newest that are looked through


def kpi_rows(
    session: Session,
    chosen: Sequence[Station],
    since: datetime,
    until: datetime,
    by: Grouping,
    plant: Plant,
    opportunities: int = 1,
) -> list[Row]:
    """One a shift or day, oldest first, over the chosen stations together; or one a station, over all the time.

    Groups without a frame are left out.
    """
    if by == "station":
        found = counts(session, since, until)
        return [
            Row(one.name, one.name, since, until, kpis(found[one.id], opportunities))
            for one in chosen
            if one.id in found
        ]
    periods = plant.shifts_between(since, until) if by == "shift" else plant.days_between(since, until)
    name = chosen[0].name if len(chosen) == 1 else None
    rows = []
    for period, found in zip(periods, counts_of(session, periods), strict=True):
        together = added(found, chosen)
        if together.frames:
            rows.append(Row(period.name, name, period.since, period.until, kpis(together, opportunities)))
    return rows


def counts(session: Session, since: datetime, until: datetime) -> Mapping[int, Counts]:
    """Station id → what was captured at `since` or later and before `until`, and what people said of it."""
    return _by_station(totals.by_station(session, since, until), reviewed.counts(session, since=since, until=until))


def counts_of(session: Session, periods: Sequence[Period]) -> list[Mapping[int, Counts]]:
    """As `counts`, for each period in its order, in two queries for all of them."""
    spans = [(period.since, period.until) for period in periods]
    return [
        _by_station(*found)
        for found in zip(totals.by_period(session, spans), reviewed.counts_of(session, spans), strict=True)
    ]


def added(found: Mapping[int, Counts], chosen: Iterable[Station]) -> Counts:
    """The chosen stations' counts together."""
    return sum((found[one.id] for one in chosen if one.id in found), Counts(0, 0))


def _by_station(captured: Mapping[int, Totals], said: Iterable[ReviewCounts]) -> Mapping[int, Counts]:
    words = {one.station_id: one for one in said}
    return {
        station_id: _counts(found.frames - found.no_reference, found.flagged, words.get(station_id))
        for station_id, found in captured.items()
    }


def _counts(frames: int, flagged: int, words: ReviewCounts | None) -> Counts:
    if words is None:
        return Counts(frames, flagged)
    return Counts(
        frames,
        flagged,
        caught=words.flagged_defect,
        false_alarms=words.flagged_false_alarm,
        confirmed=words.passed_false_alarm,
        escaped=words.passed_defect,
        drawn_good=words.drawn_false_alarm,
        drawn_defects=words.drawn_defect,
    )


def shift_report(
    session: Session, chosen: Sequence[Station], moment: datetime, plant: Plant, opportunities: int, now: datetime
) -> ShiftReport:
    """Everything for the report on the shift that `moment` lies in; alerts are those open at any time of it."""
    shift = plant.shift_at(moment)
    rows = kpi_rows(session, chosen, shift.since, shift.until, "station", plant, opportunities)
    together = kpi_rows(session, chosen, shift.since, shift.until, "shift", plant, opportunities)
    named = reviewed.tag_counts(session, [one.id for one in chosen], since=shift.since, until=shift.until)
    names = {station.id: station.name for station in chosen}
    found = alerts.recent(session, until=shift.until, limit=ALERTS_MOST)
    return ShiftReport(
        shift=shift,
        zone=plant.zone,
        made_at=now,
        rows=rows,
        together=together[0] if together else None,
        pareto=pareto(named),
        alerts=[
            (names.get(alert.station_id or 0), alert)
            for alert in reversed(found)
            if (alert.resolved_at is None or alert.resolved_at >= shift.since)
            and (alert.station_id is None or alert.station_id in names)
        ],
        stations=[
            StationPart(station.name, verdicts.trend(session, station.id, shift.since, shift.until, TREND_BUCKET))
            for station in chosen
        ],
    )
