"""KPIs: first-pass yield, flagged ppm, DPMO, false rejects and escapes with their intervals, and the Pareto."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import streamlit as st

from alerts.kpis import shift_report
from alerts.kpis.kpis import InspectionCounts, KpiRow, Kpis, escape_estimate_basis, pareto
from alerts.kpis.kpis import compute_kpis as of_counts
from alerts.kpis.queries import Grouping, kpi_rows
from alerts.kpis.queries import build_shift_report as gathered
from alerts.kpis.shifts import CalendarPeriod
from alerts.statistics.confidence_intervals import Estimate
from dashboard import context, csv_export, formatting
from dashboard.charts import quality
from dashboard.components import elements
from storage.line import stations
from storage.line.stations import Station
from storage.review import labels

RANGES: Mapping[str, timedelta] = {
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
GROUPS: Mapping[str, Grouping] = {"Station": "station", "Day": "day", "Shift": "shift"}
SHIFTS_OFFERED = timedelta(days=7)
KEEP_S = 60.0  # figures over days do not change in a minute
WHOLE = timedelta(minutes=1)


def panel() -> None:
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        span = st.segmented_control(
            "Time", list(RANGES), default="7 d", required=True, key="kpi_time", bind="query-params"
        )
        by = st.segmented_control("By", list(GROUPS), default="Station", required=True, key="by", bind="query-params")
        names = st.multiselect("Stations", list(places), key="stations", placeholder="all stations", width=340)
    chosen = [places[name] for name in names] or list(places.values())
    until = context.now().replace(second=0, microsecond=0) + WHOLE
    since = until - RANGES[span or "7 d"]
    group = GROUPS[by or "Station"]
    rows = found(tuple(chosen), since, until, group)
    if rows:
        figures = together(rows)
        summary(figures)
        table(rows, by or "Station", figures)
        left, right = st.columns(2, gap="small")
        with left, st.container(border=True, key="card-rates"):
            rates(rows)
        with right, st.container(border=True, key="card-pareto"):
            defects(chosen, since, until)
    else:
        st.info("No frame was inspected in that time.", icon=":material/hourglass_empty:")
    if places:
        with st.container(border=True, key="card-report"):
            report(chosen)


@st.cache_data(ttl=KEEP_S, max_entries=200, show_spinner=False)
def found(chosen: tuple[Station, ...], since: datetime, until: datetime, by: Grouping) -> list[KpiRow]:
    """The table's rows, kept for a minute: an interval is worked out exactly, which takes a while."""
    settings = context.alerts_settings()
    with context.reading() as session:
        return kpi_rows(session, chosen, since, until, by, settings.plant, settings.defect_opportunities)


def together(rows: Sequence[KpiRow]) -> Kpis:
    """All the rows' frames in one: their groups share none."""
    all_of_it = sum((row.kpis.counts for row in rows), InspectionCounts(0, 0))
    return of_counts(all_of_it, context.alerts_settings().defect_opportunities)


def summary(figures: Kpis) -> None:
    counted = figures.counts
    reviewed_frames = counted.caught + counted.false_alarms + counted.confirmed + counted.escaped
    st.html(
        elements.strip(
            elements.figure(
                "First-pass yield", percent(figures.first_pass_yield), formatting.plural(counted.frames, "frame")
            ),
            elements.figure(
                "Flagged ppm", number(figures.flagged_ppm), formatting.plural(counted.flagged, "frame") + " flagged"
            ),
            elements.figure("DPMO", number(figures.dpmo), "defects per million opportunities"),
            elements.figure("False rejects", value(figures.false_reject_rate), interval(figures.false_reject_rate)),
            elements.figure("Escapes", value(figures.escape_rate), interval(figures.escape_rate)),
            elements.figure(
                "Reviewed",
                formatting.count(reviewed_frames),
                f"{counted.confirmed + counted.escaped:,} passed, {counted.drawn:,} at random",
            ),
        )
    )


def table(rows: Sequence[KpiRow], by: str, figures: Kpis) -> None:
    shown = [
        {
            by: row.group,
            "Frames": row.kpis.counts.frames,
            "Flagged": row.kpis.counts.flagged,
            "First-pass yield": percent(row.kpis.first_pass_yield),
            "Flagged ppm": number(row.kpis.flagged_ppm),
            "DPMO": number(row.kpis.dpmo),
            "False rejects (95 %)": with_interval(row.kpis.false_reject_rate),
            "Escapes (95 %)": with_interval(row.kpis.escape_rate),
        }
        for row in rows
    ]
    st.dataframe(shown, hide_index=True, key="kpi_table", height=min(38 + 35 * len(shown), 420), alt=f"KPIs by {by}")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(
            "False rejects are the share of good parts that were flagged, escapes the share of defects that passed. "
            f"A dash: too little was reviewed to say. {escape_estimate_basis(figures.counts)}"
        )
        st.download_button(
            "Export as CSV",
            data=csv_export.kpis(rows),
            file_name=f"andon-kpi-by-{by.lower()}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="kpi-export",
        )


def rates(rows: Sequence[KpiRow]) -> None:
    st.html(elements.heading("False rejects", "with 95 % intervals from reviews"))
    known = [row.kpis.false_reject_rate for row in rows]
    if not any(known):
        st.caption("No flagged frame was reviewed in that time, so nobody can say.")
        return
    names = [row.group for row in rows]
    st.echarts_chart(
        quality.rates(names, known, context.colours()),
        height=280,
        key="rates",
        alt="False-reject rate of each group with its interval",
    )


def defects(chosen: Sequence[Station], since: datetime, until: datetime) -> None:
    with context.reading() as session:
        named = labels.tag_counts(session, [place.id for place in chosen], since=since, until=until)
    bars = pareto(named)
    st.html(elements.heading("Defect types", formatting.plural(sum(named.values()), "defect") + " named in reviews"))
    if not bars:
        st.caption("Nobody named a defect in that time.")
        return
    st.echarts_chart(
        quality.pareto(bars, context.colours()), height=280, key="pareto", alt="Pareto of the defect types"
    )


def report(chosen: Sequence[Station]) -> None:
    """One shift as a page to print."""
    now = context.now()
    plant = context.alerts_settings().plant
    shifts = plant.shifts_between(now - SHIFTS_OFFERED, now)[::-1]
    st.html(elements.heading("Shift report", "a page to print or to send; your browser saves it as PDF"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shift = st.selectbox(
            "Shift", shifts, format_func=lambda one: one.name, index=min(1, len(shifts) - 1), key="shift", width=240
        )
        st.download_button(
            "Download the report",
            data=lambda: written(chosen, shift),
            file_name=f"andon-shift-{shift.name.replace(' ', '-')}.html",
            mime="text/html",
            icon=":material/print:",
            on_click="ignore",
            key="report-download",
        )


def written(chosen: Sequence[Station], shift: CalendarPeriod) -> bytes:
    settings = context.alerts_settings()
    with context.reading() as session:
        made = gathered(session, chosen, shift.since, settings.plant, settings.defect_opportunities, context.now())
    return shift_report.render_shift_report(made).encode()


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def number(amount: float | None) -> str:
    return "–" if amount is None else f"{amount:,.0f}"


def value(estimate: Estimate | None) -> str:
    return percent(None if estimate is None else estimate.value)


def interval(estimate: Estimate | None) -> str:
    return "too little reviewed" if estimate is None else f"{100 * estimate.low:.2f} to {100 * estimate.high:.2f} %"


def with_interval(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{value(estimate)} ({interval(estimate)})"
