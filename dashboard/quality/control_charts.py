"""Control charts of the good frames' scores: individuals, EWMA and CUSUM, with limits from an in-control period."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import streamlit as st

from alerts.statistics.control_charts import CusumChart, Signal, cusum, ewma, individuals
from dashboard import formatting
from dashboard.charts import control_charts, in_control
from dashboard.charts.echarts import Option
from dashboard.charts.in_control import ControlData, InControlPeriod
from dashboard.components import elements
from dashboard.components.station_choice import choose_station_or_first
from dashboard.context import PageContext, draw_live
from storage.line import stations
from storage.line.stations import Station
from storage.line.verdicts import Verdict

INDIVIDUALS, EWMA, CUSUM = "Individuals", "EWMA", "CUSUM"
DESCRIPTIONS: Mapping[str, str] = {
    INDIVIDUALS: "One point per frame, limits at 3 σ. It finds a large shift at once, and runs by the Western Electric "
    "rules.",
    EWMA: "An exponentially weighted moving average. It finds a small, lasting shift, such as a fading lamp.",
    CUSUM: "Cumulative sums of what exceeds half a σ on either side. It finds a small shift and shows about when it "
    "began.",
}
FIRST_FRAMES, TIME_RANGE = "First good frames", "Time range"
REFRESH_EVERY_S = 10.0
FRAMES_SHOWN = (50, 100, 200, 300, in_control.MAX_FRAMES)
MIN_PERIOD_FRAMES = 20


def panel(page: PageContext) -> None:
    """Draw the choice of a station, a chart and an in-control period, and the chart."""
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    if not by_name:
        st.caption("There is no station yet.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        name = choose_station_or_first(by_name, width=220, show_label=True)
        kind = st.segmented_control(
            "Chart", list(DESCRIPTIONS), default=INDIVIDUALS, required=True, key="chart", bind="query-params"
        )
        shown = st.select_slider("Frames shown", FRAMES_SHOWN, value=200, key="frames_shown", width=220)
    period, robust = choose_period(page)
    draw_live(page, chart, REFRESH_EVERY_S, by_name[name], kind, int(shown), period, robust)


def choose_period(page: PageContext) -> tuple[InControlPeriod | str, bool]:
    """Draw the choice of the in-control period; return it, or why it is not valid, and whether to use medians."""
    with (
        st.expander("In-control period, which the limits are computed from", icon=":material/straighten:"),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        source = st.segmented_control(
            "Limits from", [FIRST_FRAMES, TIME_RANGE], default=FIRST_FRAMES, required=True, key="limits_from"
        )
        robust = st.toggle(
            "Robust to outliers", key="robust", help="Uses the median and the median moving range instead of means."
        )
        if source != TIME_RANGE:
            frames = st.number_input(
                "Good frames since activation",
                MIN_PERIOD_FRAMES,
                in_control.MAX_FRAMES,
                in_control.DEFAULT_FRAMES,
                step=10,
                key="in_control_frames",
            )
            return InControlPeriod(frames=int(frames)), robust
        now = page.now().astimezone(page.time_zone)
        since = st.datetime_input("From", now - timedelta(days=1), key="in_control_since", required=True)
        until = st.datetime_input("Until", now, key="in_control_until", required=True)
        if since >= until:
            return "The in-control period ends before it begins. Choose a later end.", robust
        return InControlPeriod(since=in_zone(page, since), until=in_zone(page, until)), robust


def in_zone(page: PageContext, local: datetime) -> datetime:
    """Return a time that was chosen in the person's time zone as an aware time."""
    return local.replace(tzinfo=page.time_zone) if local.tzinfo is None else local


def chart(
    page: PageContext, station: Station, kind: str, shown: int, period: InControlPeriod | str, robust: bool
) -> None:
    """Draw a control chart with its points out of control, or why it can't be drawn."""
    if isinstance(period, str):
        data: ControlData | str = period
    else:
        with page.read() as session:
            data = in_control.control_data(session, station.id, period, robust=robust)
    with st.container(border=True, key="card-control"):
        if isinstance(data, str):
            st.html(elements.heading(f"{kind}: {station.name}"))
            st.info(data, icon=":material/hourglass_empty:")
            return
        signals, option = compute(page, data, kind, shown)
        broken = [(frame, rules) for frame, rules in zip(data.frames[-shown:], signals, strict=True) if rules]
        st.html(elements.heading(f"{kind}: {station.name}", limits_note(page, data)))
        st.echarts_chart(
            option, height=360, key="control", alt=f"{kind} chart of {station.name}, {len(broken)} out of control"
        )
        st.caption(f"{DESCRIPTIONS[kind]} Computed on logarithms of scores, because scores are skewed.")
    out_of_control(page, station, broken)


def compute(page: PageContext, data: ControlData, kind: str, shown: int) -> tuple[Sequence[tuple[Signal, ...]], Option]:
    """Return the broken rules per point, and the chart, of the newest frames.

    The chart is computed over all frames that were read, so that averages and sums have a history.
    """
    now, zone = page.now(), page.time_zone
    times = [formatting.clock(frame.captured_at, now, zone) for frame in data.frames[-shown:]]
    if kind == CUSUM:
        sums = cusum(data.log_scores, data.process)
        newest = CusumChart(
            sums.high[-shown:],
            sums.low[-shown:],
            sums.high_since[-shown:],
            sums.low_since[-shown:],
            sums.limit,
            sums.signals[-shown:],
        )
        return newest.signals, control_charts.cusum(newest, times, page.palette)
    if kind == EWMA:
        average = in_control.last_points(ewma(data.log_scores, data.process), shown)
        return average.signals, control_charts.ewma(average, times, page.palette)
    points = in_control.last_points(individuals(data.log_scores, data.process), shown)
    return points.signals, control_charts.individuals(points, data.process, times, page.palette)


def limits_note(page: PageContext, data: ControlData) -> str:
    """Return how many frames the limits were computed from, and when they were captured."""
    now, zone = page.now(), page.time_zone
    first, last = (formatting.clock(data.reference[index].captured_at, now, zone) for index in (0, -1))
    return f"limits from {formatting.plural(len(data.reference), 'good frame')}, {first} to {last}"


def out_of_control(page: PageContext, station: Station, broken: Sequence[tuple[Verdict, tuple[Signal, ...]]]) -> None:
    """Draw the points out of control as a table, newest first, with the rules that each broke."""
    if not broken:
        st.success("All points shown are in control.", icon=":material/check_circle:")
        return
    rows = [
        {
            "Time": formatting.date_and_time(frame.captured_at, page.time_zone),
            "Score": formatting.score(frame.score),
            "Rules broken": "; ".join(f"{rule}: {control_charts.RULES[rule][1]}" for rule in rules),
            "Frame": f"/station?station={station.name}&frame={frame.frame_id}&show=All",
        }
        for frame, rules in reversed(broken)
    ]
    st.html(elements.heading("Out of control", formatting.plural(len(rows), "point")))
    st.dataframe(
        rows,
        hide_index=True,
        key="broken_table",
        height=min(38 + 35 * len(rows), 320),
        column_config={"Frame": st.column_config.LinkColumn(display_text="open")},
        alt="Points out of control, newest first",
    )
