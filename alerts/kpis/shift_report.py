"""The shift report: one self-contained, printable HTML page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from zoneinfo import ZoneInfo

from alerts.kpis.kpis import KpiRow, ParetoBar, escape_estimate_basis
from alerts.kpis.shifts import CalendarPeriod
from alerts.statistics.confidence_intervals import Estimate
from storage.alerts.alerts import Alert
from storage.line.verdicts import TrendPoint

WIDTH, HEIGHT = 680, 110  # of a chart, in CSS pixels
LABEL = 150  # left of a bar
TREND_BUCKET = timedelta(minutes=10)

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1b1b1b; margin: 24px auto; max-width: 980px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 17px; margin: 26px 0 8px; } p { margin: 4px 0; color: #444; }
table { border-collapse: collapse; width: 100%; } th, td { padding: 5px 8px; border-bottom: 1px solid #ccc; }
th { text-align: left; font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg text { font: 12px system-ui, sans-serif; fill: #1b1b1b; } .nothing { color: #666; font-style: italic; }
@media print { body { margin: 0; } h2, svg, tr { break-inside: avoid; } @page { size: A4; margin: 14mm; } }
"""


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
    together: KpiRow | None
    pareto: Sequence[ParetoBar]
    alerts: Sequence[tuple[str | None, Alert]]
    stations: Sequence[StationTrend]


def render_shift_report(report: ShiftReport) -> str:
    """Return the HTML page."""
    shift, zone = report.shift, report.zone
    span = f"{_local(shift.since, zone)} to {_local(shift.until, zone)} ({escape(str(zone))})"
    so_far = " It is not over yet." if report.made_at < shift.until else ""
    parts = [
        f"<h1>Shift {escape(shift.name)}</h1>",
        f"<p>{span}.{so_far} Written {_local(report.made_at, zone)}.</p>",
        "<h2>Figures</h2>",
        _figures([*report.rows, *([report.together] if report.together and len(report.rows) > 1 else [])]),
        "<p>False rejects are the share of good parts that were flagged, escapes the share of defects that passed. "
        "The intervals are 95 % and come from reviews; a dash means that too little was reviewed to say. "
        f"{escape(escape_estimate_basis(report.together.kpis.counts)) if report.together else ''}</p>",
        "<h2>Alerts</h2>",
        _alerts(report.alerts, zone),
        "<h2>Defect types</h2>",
        _pareto(report.pareto),
        "<h2>Scores</h2>",
        *(_trend(part, report) for part in report.stations),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Andon, shift {escape(shift.name)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _figures(rows: Sequence[KpiRow]) -> str:
    headings = ("station", "frames", "flagged", "first-pass yield", "flagged ppm", "DPMO", "false rejects", "escapes")
    body = [
        (
            row.station or "all together",
            f"{row.kpis.counts.frames:,}",
            f"{row.kpis.counts.flagged:,}",
            _number(row.kpis.first_pass_yield, "{:.2%}"),
            _number(row.kpis.flagged_ppm, "{:,.0f}"),
            _number(row.kpis.dpmo, "{:,.0f}"),
            _estimate(row.kpis.false_reject_rate),
            _estimate(row.kpis.escape_rate),
        )
        for row in rows
    ]
    return _table(headings, body, numbers=True) if body else _nothing("No frame was inspected in this shift.")


def _alerts(found: Sequence[tuple[str | None, Alert]], zone: ZoneInfo) -> str:
    body = [
        (
            _local(alert.opened_at, zone),
            station or "line",
            alert.rule,
            alert.message,
            alert.acknowledged_by or "–",
            "open" if alert.resolved_at is None else _local(alert.resolved_at, zone),
        )
        for station, alert in found
    ]
    headings = ("opened", "station", "rule", "what", "acknowledged by", "resolved")
    return _table(headings, body, numbers=False) if body else _nothing("No alert was open in this shift.")


def _pareto(bars: Sequence[ParetoBar]) -> str:
    if not bars:
        return _nothing("Nobody named a defect in this shift.")
    step, most, width = 24, bars[0].count, WIDTH - LABEL - 130
    drawn = [
        f'<text x="0" y="{index * step + 16}">{escape(bar.defect or "not named")}</text>'
        f'<rect x="{LABEL}" y="{index * step + 4}" width="{max(width * bar.count / most, 1):.1f}" height="15" '
        f'fill="#35618f"/><text x="{LABEL + width * bar.count / most + 8:.1f}" y="{index * step + 16}">'
        f"{bar.count} ({bar.cumulative:.0%} so far)</text>"
        for index, bar in enumerate(bars)
    ]
    return _svg(WIDTH, len(bars) * step + 6, "Defect types, most frequent first", drawn)


def _trend(part: StationTrend, report: ShiftReport) -> str:
    """Return the chart of mean score and threshold over the shift, on a scale from 0."""
    scored = [point for point in part.trend if point.score_mean is not None]
    if not scored:
        return f"<p><b>{escape(part.name)}</b></p>" + _nothing("Nothing was scored.")
    length_s = (report.shift.until - report.shift.since).total_seconds()
    top = max(max(point.score_mean or 0, point.threshold or 0) for point in scored) * 1.1 or 1.0

    def line(values: Iterable[tuple[datetime, float]]) -> str:
        """Return the points of a polyline; each bucket is a level segment, so that a single one is visible."""
        return " ".join(
            f"{WIDTH * (end - report.shift.since).total_seconds() / length_s:.1f},{HEIGHT * (1 - value / top):.1f}"
            for at, value in values
            for end in (at, at + TREND_BUCKET)
        )

    means = line((point.started_at, point.score_mean) for point in scored if point.score_mean is not None)
    limits = line((point.started_at, point.threshold) for point in scored if point.threshold is not None)
    drawn = [
        f'<line x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}" stroke="#999"/>',
        f'<polyline points="{limits}" fill="none" stroke="#b3421f" stroke-dasharray="6 4" stroke-width="1.5"/>',
        f'<polyline points="{means}" fill="none" stroke="#35618f" stroke-width="2"/>',
    ]
    caption = f"<p><b>{escape(part.name)}</b>: mean score, and the threshold (dashed); the scale ends at {top:.3g}.</p>"
    return caption + _svg(WIDTH, HEIGHT + 4, f"Mean score at {part.name} over the shift", drawn)


def _svg(width: int, height: int, says: str, drawn: Sequence[str]) -> str:
    opening = f'<svg role="img" aria-label="{escape(says)}" width="{width}" height="{height}" viewBox="0 -2 {width} '
    return f'{opening}{height}" style="overflow: visible">{"".join(drawn)}</svg>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool) -> str:
    """Return a table; with `numbers` every column but the first is right-aligned."""
    kinds = ["", *([' class="n"'] if numbers else [""]) * (len(headings) - 1)]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, headings, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _nothing(sentence: str) -> str:
    return f'<p class="nothing">{escape(sentence)}</p>'


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.2%} ({estimate.low:.2%} to {estimate.high:.2%})"


def _number(value: float | None, shape: str) -> str:
    return "–" if value is None else shape.format(value)


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
