"""Control charts: individuals, EWMA and CUSUM over the good frames' scores, with limits from a quiet time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st

from alerts.statistics.control_charts import CusumChart, Signal, cusum, ewma, individuals
from dashboard import context, formatting
from dashboard.charts import in_control, quality
from dashboard.charts.in_control import ControlData, InControlPeriod
from dashboard.charts.scores import Option
from dashboard.components import elements
from storage.line import stations
from storage.line.stations import Station
from storage.line.verdicts import Verdict

INDIVIDUALS, EWMA, CUSUM = "Individuals", "EWMA", "CUSUM"
SAYS = {
    INDIVIDUALS: "One point a frame, limits at 3 σ. It sees a large shift at once; Western Electric's rules find runs.",
    EWMA: "A weighted average that remembers. It sees a small, lasting shift, such as a fading lamp.",
    CUSUM: "Sums what lies beyond half a σ on either side. It sees a small shift, and tells about when it began.",
}
FIRST, SPAN = "the first good frames of the set", "a time that I choose"
LOOK_EVERY_S = 10.0
FEWEST_SHOWN = 50


def panel() -> None:
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    if not places:
        st.caption("There is no station yet.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        name = st.selectbox("Station", list(places), key="station", bind="query-params", width=220)
        kind = st.segmented_control(
            "Chart", list(SAYS), default=INDIVIDUALS, required=True, key="chart", bind="query-params"
        )
        shown = st.select_slider(
            "Frames shown", [FEWEST_SHOWN, 100, 200, 300, in_control.MOST], value=200, key="frames_shown", width=220
        )
    period, robust = in_control_period()
    context.live(chart, LOOK_EVERY_S, places[name], kind, int(shown), period, robust)


def in_control_period() -> tuple[InControlPeriod | str, bool]:
    """From which time the limits are drawn."""
    with (
        st.expander("In-control period: what the limits are drawn from", icon=":material/straighten:"),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        source = st.segmented_control("Limits from", [FIRST, SPAN], default=FIRST, required=True, key="limits_from")
        robust = st.toggle(
            "Outliers may be in it", key="robust", help="Median and median moving range in place of means."
        )
        if source != SPAN:
            frames = st.number_input(
                "Good frames", 20, in_control.MOST, in_control.FIRST, step=10, key="in_control_frames"
            )
            return InControlPeriod(frames=int(frames)), robust
        today = context.now().astimezone(context.zone())
        begin = st.datetime_input("From", today - timedelta(days=1), key="in_control_since", required=True)
        end = st.datetime_input("Until", today, key="in_control_until", required=True)
        if begin >= end:
            return "The time that limits are drawn from ends before it begins.", robust
        return InControlPeriod(since=utc(begin), until=utc(end)), robust


def utc(local: datetime) -> datetime:
    """A moment that was chosen in the reader's own time zone."""
    return local.replace(tzinfo=context.zone()) if local.tzinfo is None else local


def chart(place: Station, kind: str, shown: int, period: InControlPeriod | str, robust: bool) -> None:
    if isinstance(period, str):
        found: ControlData | str = period
    else:
        with context.reading() as session:
            found = in_control.drawn(session, place.id, period, robust=robust)
    with st.container(border=True, key="card-control"):
        if isinstance(found, str):
            st.html(elements.heading(f"{kind}: {place.name}"))
            st.info(found, icon=":material/hourglass_empty:")
            return
        signals, option = drawn(found, kind, shown)
        broken = [(frame, one) for frame, one in zip(found.frames[-shown:], signals, strict=True) if one]
        st.html(elements.heading(f"{kind}: {place.name}", limits_from(found)))
        st.echarts_chart(
            option, height=360, key="control", alt=f"{kind} chart of {place.name}, {len(broken)} out of control"
        )
        st.caption(f"{SAYS[kind]} The charts are computed over logarithms of scores, as those are skewed.")
    out_of_control(place, broken)


def drawn(found: ControlData, kind: str, shown: int) -> tuple[Sequence[tuple[Signal, ...]], Option]:
    """Computed over all frames that were read, so that averages and sums have a past; shown are the newest."""
    now, zone, colours = context.now(), context.zone(), context.colours()
    times = [formatting.clock(frame.captured_at, now, zone) for frame in found.frames[-shown:]]
    if kind == CUSUM:
        sums = cusum(found.logs, found.process)
        cut = CusumChart(
            sums.high[-shown:],
            sums.low[-shown:],
            sums.high_since[-shown:],
            sums.low_since[-shown:],
            sums.limit,
            sums.signals[-shown:],
        )
        return cut.signals, quality.cusum(cut, times, colours)
    whole = ewma(found.logs, found.process) if kind == EWMA else individuals(found.logs, found.process)
    part = in_control.newest(whole, shown)
    if kind == EWMA:
        return part.signals, quality.ewma(part, times, colours)
    return part.signals, quality.individuals(part, found.process, times, colours)


def limits_from(found: ControlData) -> str:
    now, zone = context.now(), context.zone()
    first, last = found.quiet[0].captured_at, found.quiet[-1].captured_at
    return (
        f"limits from {formatting.plural(len(found.quiet), 'good frame')}, "
        f"{formatting.clock(first, now, zone)} to {formatting.clock(last, now, zone)}"
    )


def out_of_control(place: Station, broken: Sequence[tuple[Verdict, tuple[Signal, ...]]]) -> None:
    """The points out of control, newest first, with the rules that each broke."""
    if not broken:
        st.success("All points shown are in control.", icon=":material/check_circle:")
        return
    zone = context.zone()
    rows = [
        {
            "When": formatting.moment(frame.captured_at, zone)[:-4],
            "Score": formatting.score(frame.score),
            "Rules broken": "; ".join(f"{one}: {quality.RULES[one][1]}" for one in signals),
            "Frame": f"/station?station={place.name}&frame={frame.frame_id}&show=All",
        }
        for frame, signals in reversed(broken)
    ]
    st.html(elements.heading("Out of control", formatting.plural(len(rows), "point")))
    st.dataframe(
        rows,
        hide_index=True,
        key="broken_table",
        height=min(38 + 35 * len(rows), 320),
        column_config={"Frame": st.column_config.LinkColumn(display_text="look at it")},
        alt="Points out of control, newest first",
    )
