"""Queries of KPIs and of the shift report, for pages and commands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from alerts.kpis.kpis import InspectionCounts, KpiRow, compute_kpis, pareto
from alerts.kpis.shift_report import TREND_BUCKET, ShiftReport, StationTrend
from alerts.kpis.shifts import CalendarPeriod, PlantCalendar
from storage.alerts import alerts
from storage.line.stations import Station
from storage.review import labels
from storage.review.labels import LabelCounts
from storage.rollups import totals, trends
from storage.rollups.totals import Totals

Grouping = Literal["shift", "day", "station"]


MAX_ALERTS = 1000  # newest alerts that are searched


def kpi_rows(
    session: Session,
    chosen: Sequence[Station],
    since: datetime,
    until: datetime,
    by: Grouping,
    plant: PlantCalendar,
    opportunities: int = 1,
) -> list[KpiRow]:
    """Return one row per shift or day over the chosen stations together, oldest first, or one row per station.

    Groups without a frame are omitted.
    """
    if by == "station":
        found = counts_by_station(session, since, until)
        return [
            KpiRow(one.name, one.name, since, until, compute_kpis(found[one.id], opportunities))
            for one in chosen
            if one.id in found
        ]
    periods = plant.shifts_between(since, until) if by == "shift" else plant.days_between(since, until)
    name = chosen[0].name if len(chosen) == 1 else None
    rows = []
    for period, found in zip(periods, counts_by_period(session, periods), strict=True):
        total = total_counts(found, chosen)
        if total.frames or total.bad_pictures:
            rows.append(KpiRow(period.name, name, period.since, period.until, compute_kpis(total, opportunities)))
    return rows


def counts_by_station(session: Session, since: datetime, until: datetime) -> Mapping[int, InspectionCounts]:
    """Return the counts of the frames captured from `since` up to but not at `until`, by station id."""
    return _by_station(totals.by_station(session, since, until), labels.counts(session, since=since, until=until))


def counts_by_period(session: Session, periods: Sequence[CalendarPeriod]) -> list[Mapping[int, InspectionCounts]]:
    """Return the result of `counts_by_station` for each period, in two queries for all of them."""
    spans = [(period.since, period.until) for period in periods]
    return [
        _by_station(*found)
        for found in zip(totals.by_period(session, spans), labels.counts_by_period(session, spans), strict=True)
    ]


def total_counts(found: Mapping[int, InspectionCounts], chosen: Iterable[Station]) -> InspectionCounts:
    """Return the sum of the chosen stations' counts."""
    return sum((found[one.id] for one in chosen if one.id in found), InspectionCounts(0, 0))


def _by_station(captured: Mapping[int, Totals], reviewed: Iterable[LabelCounts]) -> Mapping[int, InspectionCounts]:
    labelled = {counts.station_id: counts for counts in reviewed}
    return {station_id: _counts(found, labelled.get(station_id)) for station_id, found in captured.items()}


def _counts(found: Totals, labelled: LabelCounts | None) -> InspectionCounts:
    unreviewed = InspectionCounts(
        found.scored, found.flagged, bad_pictures=found.bad_pictures, borderline=found.borderline
    )
    if labelled is None:
        return unreviewed
    return replace(
        unreviewed,
        caught=labelled.flagged_defect,
        false_alarms=labelled.flagged_false_alarm,
        confirmed=labelled.passed_false_alarm,
        escaped=labelled.passed_defect,
        sampled_good=labelled.sampled_false_alarm,
        sampled_defects=labelled.sampled_defect,
    )


def build_shift_report(
    session: Session,
    chosen: Sequence[Station],
    moment: datetime,
    plant: PlantCalendar,
    opportunities: int,
    now: datetime,
) -> ShiftReport:
    """Return the report of the shift that `moment` is in; its alerts are those that were open at any time of it."""
    shift = plant.shift_at(moment)
    rows = kpi_rows(session, chosen, shift.since, shift.until, "station", plant, opportunities)
    totals_of_shift = kpi_rows(session, chosen, shift.since, shift.until, "shift", plant, opportunities)
    defects = labels.tag_counts(session, [one.id for one in chosen], since=shift.since, until=shift.until)
    names = {station.id: station.name for station in chosen}
    found = alerts.recent(session, until=shift.until, limit=MAX_ALERTS)
    return ShiftReport(
        shift=shift,
        zone=plant.zone,
        made_at=now,
        rows=rows,
        total=totals_of_shift[0] if totals_of_shift else None,
        pareto=pareto(defects),
        alerts=[
            (names.get(alert.station_id or 0), alert)
            for alert in reversed(found)
            if (alert.resolved_at is None or alert.resolved_at >= shift.since)
            and (alert.station_id is None or alert.station_id in names)
        ],
        stations=[
            StationTrend(station.name, trends.trend(session, station.id, shift.since, shift.until, TREND_BUCKET))
            for station in chosen
        ],
    )
