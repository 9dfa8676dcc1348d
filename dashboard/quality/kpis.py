"""KPIs: first-pass yield, flagged ppm, DPMO, false rejects and escapes with their intervals, and defect types."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import streamlit as st

from alerts.kpis.kpis import InspectionCounts, KpiRow, Kpis, compute_kpis, dpmo_interval, escape_estimate_basis, pareto
from alerts.kpis.queries import Grouping, build_shift_report, kpi_rows
from alerts.kpis.shift_report import render_shift_report
from alerts.kpis.shifts import CalendarPeriod
from alerts.statistics.confidence_intervals import NOT_ENOUGH, Estimate
from dashboard import csv_export, formatting
from dashboard.charts import kpi_charts
from dashboard.components import elements
from dashboard.components.elements import Metric
from dashboard.context import PageContext
from storage.line import stations
from storage.line.stations import Station
from storage.review import labels

RANGES: Mapping[str, timedelta] = {
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
GROUPS: Mapping[str, Grouping] = {"Station": "station", "Day": "day", "Shift": "shift"}
DEFAULT_RANGE, DEFAULT_GROUP = "7 d", "Station"
SHIFTS_OFFERED = timedelta(days=7)
CACHED_FOR_S = 60.0
MINUTE = timedelta(minutes=1)


def panel(page: PageContext) -> None:
    """Draw the choice of time, grouping and stations, the KPIs, and the shift report."""
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        range_name = st.segmented_control(
            "Time", list(RANGES), default=DEFAULT_RANGE, required=True, key="kpi_time", bind="query-params"
        )
        group = (
            st.segmented_control(
                "By", list(GROUPS), default=DEFAULT_GROUP, required=True, key="by", bind="query-params"
            )
            or DEFAULT_GROUP
        )
        names = st.multiselect("Stations", list(by_name), key="stations", placeholder="all stations", width=340)
    chosen = [by_name[name] for name in names] or list(by_name.values())
    until = page.now().replace(second=0, microsecond=0) + MINUTE
    since = until - RANGES[range_name or DEFAULT_RANGE]
    rows = cached_rows(tuple(chosen), since, until, GROUPS[group], page)
    if rows:
        total = total_kpis(page, rows)
        summary(total, page.alerts_settings.defect_opportunities)
        table(rows, group, total)
        left, right = st.columns(2, gap="small")
        with left, st.container(border=True, key="card-rates"):
            rates(page, rows)
        with right, st.container(border=True, key="card-pareto"):
            defect_types(page, chosen, since, until)
    else:
        st.info("No frame was inspected in that time.", icon=":material/hourglass_empty:")
    if by_name:
        with st.container(border=True, key="card-report"):
            shift_report(page, chosen)


@st.cache_data(ttl=CACHED_FOR_S, max_entries=200, show_spinner=False)
def cached_rows(
    chosen: tuple[Station, ...], since: datetime, until: datetime, by: Grouping, _page: PageContext
) -> list[KpiRow]:
    """Return the KPIs of each group, cached for a minute, since exact intervals take a while to compute."""
    settings = _page.alerts_settings
    with _page.read() as session:
        return kpi_rows(session, chosen, since, until, by, settings.plant, settings.defect_opportunities)


def total_kpis(page: PageContext, rows: Sequence[KpiRow]) -> Kpis:
    """Return the KPIs of all groups together, which share no frame."""
    counts = sum((row.kpis.counts for row in rows), InspectionCounts(0, 0))
    return compute_kpis(counts, page.alerts_settings.defect_opportunities)


def summary(total: Kpis, opportunities: int) -> None:
    """Draw the KPIs of all groups together."""
    counts = total.counts
    reviewed = counts.caught + counts.false_alarms + counts.confirmed + counts.escaped
    flagged = formatting.plural(counts.flagged, "frame")
    st.html(
        elements.metrics(
            Metric("First-pass yield", percent(total.first_pass_yield), formatting.plural(counts.frames, "frame")),
            Metric("Flagged ppm", number(total.flagged_ppm), f"{flagged} flagged"),
            Metric("DPMO", number(total.dpmo), dpmo_note(total, opportunities)),
            Metric("False rejects", estimate(total.false_reject_rate), interval(total.false_reject_rate)),
            Metric("Escapes", estimate(total.escape_rate), interval(total.escape_rate)),
            Metric(
                "Borderline",
                percent(total.borderline_share),
                f"{formatting.plural(counts.borderline, 'frame')} passed to review",
            ),
            Metric("Caught by review", formatting.count(counts.escaped), "passed frames labelled a defect"),
            Metric(
                "Bad pictures",
                percent(total.bad_picture_share),
                formatting.plural(counts.bad_pictures, "frame"),
                "unseen" if counts.bad_pictures else "",
            ),
            Metric(
                "Reviewed",
                formatting.count(reviewed),
                f"{counts.confirmed + counts.escaped:,} passed, {counts.drawn:,} sampled",
            ),
        )
    )


def table(rows: Sequence[KpiRow], group: str, total: Kpis) -> None:
    """Draw the KPIs of each group as a table, with the button that exports it."""
    shown = [
        {
            group: row.group,
            "Frames": row.kpis.counts.frames,
            "Flagged": row.kpis.counts.flagged,
            "First-pass yield": percent(row.kpis.first_pass_yield),
            "Flagged ppm": number(row.kpis.flagged_ppm),
            "DPMO": number(row.kpis.dpmo),
            "False rejects (95 %)": with_interval(row.kpis.false_reject_rate),
            "Escapes (95 %)": with_interval(row.kpis.escape_rate),
            "Borderline": f"{row.kpis.counts.borderline:,} ({percent(row.kpis.borderline_share)})",
            "Caught by review": row.kpis.counts.escaped,
            "Bad pictures": percent(row.kpis.bad_picture_share),
        }
        for row in rows
    ]
    height = min(38 + 35 * len(shown), 420)
    st.dataframe(shown, hide_index=True, key="kpi_table", height=height, alt=f"KPIs by {group.lower()}")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(
            "False rejects are the share of good parts that were flagged, escapes the share of defects that passed. "
            "Borderline frames passed above the review limit. "
            f"A dash means that too few frames were reviewed. {escape_estimate_basis(total.counts)}"
        )
        st.download_button(
            "Export as CSV",
            data=csv_export.kpis(rows),
            file_name=f"andon-kpi-by-{group.lower()}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="kpi-export",
        )


def rates(page: PageContext, rows: Sequence[KpiRow]) -> None:
    """Draw the false-reject rate of each group with its interval."""
    st.html(elements.heading("False rejects", "with 95 % intervals from reviews"))
    estimates = [row.kpis.false_reject_rate for row in rows]
    if not any(estimates):
        st.caption("No flagged frame was reviewed in that time.")
        return
    st.echarts_chart(
        kpi_charts.rates([row.group for row in rows], estimates, page.palette),
        height=280,
        key="rates",
        alt="False-reject rate of each group with its interval",
    )


def defect_types(page: PageContext, chosen: Sequence[Station], since: datetime, until: datetime) -> None:
    """Draw a Pareto chart of the defect types named in reviews."""
    with page.read() as session:
        counts = labels.tag_counts(session, [station.id for station in chosen], since=since, until=until)
    st.html(elements.heading("Defect types", f"{formatting.plural(sum(counts.values()), 'defect')} in reviews"))
    bars = pareto(counts)
    if not bars:
        st.caption("No defect was labelled in that time.")
        return
    st.echarts_chart(
        kpi_charts.pareto(bars, page.palette),
        height=kpi_charts.pareto_height(len(bars)),
        key="pareto",
        alt="Pareto chart of the defect types",
    )


def shift_report(page: PageContext, chosen: Sequence[Station]) -> None:
    """Draw the choice of a shift and the button that downloads its report."""
    now = page.now()
    shifts = page.alerts_settings.plant.shifts_between(now - SHIFTS_OFFERED, now)[::-1]
    st.html(elements.heading("Shift report", "a page to print; your browser can save it as PDF"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shift = st.selectbox(
            "Shift",
            shifts,
            format_func=lambda each: each.name,
            index=min(1, len(shifts) - 1),
            key="shift",
            width=240,
        )
        st.download_button(
            "Download report",
            data=lambda: rendered_report(page, chosen, shift),
            file_name=f"andon-shift-{shift.name.replace(' ', '-')}.html",
            mime="text/html",
            icon=":material/print:",
            on_click="ignore",
            key="report-download",
        )


def rendered_report(page: PageContext, chosen: Sequence[Station], shift: CalendarPeriod) -> bytes:
    """Return the report of a shift as an HTML file."""
    settings = page.alerts_settings
    with page.read() as session:
        report = build_shift_report(
            session, chosen, shift.since, settings.plant, settings.defect_opportunities, page.now()
        )
    return render_shift_report(report).encode()


def percent(share: float | None) -> str:
    """Format a share as percent, or as a dash."""
    return "–" if share is None else f"{100 * share:.2f} %"


def number(amount: float | None) -> str:
    """Format a number without decimals, or as a dash."""
    return "–" if amount is None else f"{amount:,.0f}"


def estimate(value: Estimate | None) -> str:
    """Format an estimate as percent, as a dash, or say that its interval bears no number."""
    if value is not None and not value.is_conclusive:
        return NOT_ENOUGH
    return percent(None if value is None else value.value)


def dpmo_note(total: Kpis, opportunities: int) -> str:
    """Return the interval of the DPMO, which few samples make wide, or what DPMO is where there is none."""
    found = dpmo_interval(total.counts, opportunities)
    return "defects per million opportunities" if found is None else f"{number(found[0])} to {number(found[1])}"


def interval(value: Estimate | None) -> str:
    """Format the interval of an estimate."""
    return "too few reviews" if value is None else f"{100 * value.low:.2f} to {100 * value.high:.2f} %"


def with_interval(value: Estimate | None) -> str:
    """Format an estimate with its interval, or as a dash."""
    return "–" if value is None else f"{estimate(value)} ({interval(value)})"
