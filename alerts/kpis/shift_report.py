"""The shift report: one self-contained, printable HTML page, made by Jinja2 from ``shift_report.html``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from alerts.kpis.kpis import KpiRow, Kpis, ParetoBar, escape_estimate_basis
from alerts.kpis.shifts import CalendarPeriod
from alerts.statistics.confidence_intervals import NOT_ENOUGH, Estimate
from storage.alerts.alerts import Alert
from storage.rollups.trends import TrendPoint

CHART_WIDTH, CHART_HEIGHT = 680, 110  # in CSS pixels
BAR_LABEL_WIDTH = 150  # left of a bar, in CSS pixels
BAR_TEXT_WIDTH = 130  # right of the longest bar, in CSS pixels
TREND_BUCKET = timedelta(minutes=10)

KPI_HEADINGS = (
    "station",
    "frames",
    "flagged",
    "first-pass yield",
    "flagged ppm",
    "DPMO",
    "false rejects",
    "escapes",
    "borderline",
    "caught by review",
    "bad pictures",
)
ALERT_HEADINGS = ("opened", "station", "rule", "what", "acknowledged by", "resolved")

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


@dataclass(frozen=True, slots=True)
class StationTrend:
    """A station's scores over the shift."""

    name: str
    trend: Sequence[TrendPoint]


@dataclass(frozen=True, slots=True)
class ShiftReport:
    """The content of the page; each alert comes with its station's name, None for the line."""

    shift: CalendarPeriod
    zone: ZoneInfo
    made_at: datetime
    rows: Sequence[KpiRow]
    total: KpiRow | None
    pareto: Sequence[ParetoBar]
    alerts: Sequence[tuple[str | None, Alert]]
    stations: Sequence[StationTrend]


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bar of the Pareto chart; lengths are in CSS pixels."""

    label: str
    width: float
    text_x: float
    text: str


@dataclass(frozen=True, slots=True)
class _TrendChart:
    """A station's chart; `means` and `thresholds` are the points of two SVG polylines, empty if nothing was scored."""

    station: str
    scale_end: str = ""
    means: str = ""
    thresholds: str = ""


def render_shift_report(report: ShiftReport) -> str:
    """Return the HTML page; text that a camera or a person wrote is escaped."""
    shift, zone = report.shift, report.zone
    total = [report.total] if report.total and len(report.rows) > 1 else []
    page = _ENVIRONMENT.get_template("shift_report.html").render(
        shift=shift.name,
        since=_local(shift.since, zone),
        until=_local(shift.until, zone),
        zone=str(zone),
        made_at=_local(report.made_at, zone),
        is_over=report.made_at >= shift.until,
        kpi_headings=KPI_HEADINGS,
        kpi_rows=[_kpi_cells(row) for row in [*report.rows, *total]],
        escape_basis=escape_estimate_basis(report.total.kpis.counts) if report.total else "",
        alert_headings=ALERT_HEADINGS,
        alert_rows=[_alert_cells(station, alert, zone) for station, alert in report.alerts],
        bars=[_bar(bar, report.pareto[0].count) for bar in report.pareto],
        trends=[_trend_chart(station, shift) for station in report.stations],
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        label_width=BAR_LABEL_WIDTH,
    )
    return f"{page.strip()}\n"


def _kpi_cells(row: KpiRow) -> tuple[str, ...]:
    return (
        row.station or "all together",
        f"{row.kpis.counts.frames:,}",
        f"{row.kpis.counts.flagged:,}",
        _number(row.kpis.first_pass_yield, "{:.2%}"),
        _number(row.kpis.flagged_ppm, "{:,.0f}"),
        _number(row.kpis.dpmo, "{:,.0f}"),
        _estimate(row.kpis.false_reject_rate),
        _estimate(row.kpis.escape_rate),
        _borderline(row.kpis),
        f"{row.kpis.counts.escaped:,}",
        _number(row.kpis.bad_picture_share, "{:.2%}"),
    )


def _alert_cells(station: str | None, alert: Alert, zone: ZoneInfo) -> tuple[str, ...]:
    return (
        _local(alert.opened_at, zone),
        station or "line",
        alert.rule,
        alert.message,
        alert.acknowledged_by or "–",
        "open" if alert.resolved_at is None else _local(alert.resolved_at, zone),
    )


def _bar(bar: ParetoBar, largest: int) -> _Bar:
    width = (CHART_WIDTH - BAR_LABEL_WIDTH - BAR_TEXT_WIDTH) * bar.count / largest
    text = f"{bar.count} ({bar.cumulative:.0%} so far)"
    return _Bar(bar.defect or "not named", max(width, 1), BAR_LABEL_WIDTH + width + 8, text)


def _trend_chart(station: StationTrend, shift: CalendarPeriod) -> _TrendChart:
    """Return the chart of mean score and threshold over the shift, on a scale from 0."""
    scored = [point for point in station.trend if point.score_mean is not None]
    if not scored:
        return _TrendChart(station.name)
    length_s = (shift.until - shift.since).total_seconds()
    top = max(max(point.score_mean or 0, point.threshold or 0) for point in scored) * 1.1 or 1.0

    def line(values: Iterable[tuple[datetime, float]]) -> str:
        """Return the points of a polyline; each bucket is a level segment, so that a single one is visible."""
        return " ".join(
            f"{CHART_WIDTH * (end - shift.since).total_seconds() / length_s:.1f},{CHART_HEIGHT * (1 - value / top):.1f}"
            for at, value in values
            for end in (at, at + TREND_BUCKET)
        )

    means = line((point.started_at, point.score_mean) for point in scored if point.score_mean is not None)
    thresholds = line((point.started_at, point.threshold) for point in scored if point.threshold is not None)
    return _TrendChart(station.name, f"{top:.3g}", means, thresholds)


def _borderline(kpis: Kpis) -> str:
    if kpis.borderline_share is None:
        return "–"
    return f"{kpis.counts.borderline:,} ({kpis.borderline_share:.2%})"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    value = f"{estimate.value:.2%}" if estimate.is_conclusive else NOT_ENOUGH
    return f"{value} ({estimate.low:.2%} to {estimate.high:.2%})"


def _number(value: float | None, number_format: str) -> str:
    return "–" if value is None else number_format.format(value)


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
