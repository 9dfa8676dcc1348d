"""A station's thresholds and review limits: the current ones with their promise, earlier ones, and how to set one."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.charts import echarts
from dashboard.components import elements
from dashboard.context import PageContext
from dashboard.normals import defect_set_view, normals_html, operating_points_view, versions_view
from storage.actions import thresholds as threshold_actions
from storage.line.decision import decide_bin
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold, ThresholdKind
from storage.rollups import trends

DAY = timedelta(days=1)
BINS = 400
KINDS: Mapping[ThresholdKind, str] = {
    "calibrated": "calibrated on the normal set alone",
    "estimated": "estimated from the stream, nobody reviewed it",
    "reviewed": "calibrated on the stream and people's answers",
    "manual": "set manually",
}
VALUE, REASON, RATE, RATE_REASON = "threshold_value", "threshold_reason", "rate_percent", "rate_reason"


def thresholds_view(
    page: PageContext, station: Station, versions: Sequence[NormalSet], threshold_history: Sequence[Threshold]
) -> None:
    """Draw the current threshold, the false-reject rate, and all thresholds; `threshold_history` is newest first."""
    active = versions_view.active_of(versions)
    current = next(
        (threshold for threshold in threshold_history if active and threshold.normal_set_id == active.id), None
    )
    left, right = st.columns([7, 5], gap="small")
    with left, st.container(border=True, key="card-threshold"):
        note = f"of version {active.version}" if active else "no version is active"
        st.html(elements.heading("Current threshold", note))
        if current:
            st.html(normals_html.guarantee(current))
            age = formatting.ago(current.made_at, page.now())
            st.caption(formatting.escape_markdown(f"{origin(current)}. Made by {current.made_by}, {age}."))
            manual_threshold(page, station, current)
        elif active:
            st.caption("No threshold yet: a scorer calibrates one when it first uses this version.")
    with right, st.container(border=True, key="card-rate"):
        false_reject_rate(page, station)
    defect_set_view.defect_set_view(page, station, active)
    if current:
        with st.container(border=True, key="card-points"):
            operating_points_view.operating_points_view(page, station, current)
    with st.container(border=True, key="card-history"):
        st.html(elements.heading("History", "newest first"))
        history_table(page, versions, threshold_history)


def origin(threshold: Threshold) -> str:
    """Return what a threshold was made from, or why, as the beginning of a sentence."""
    kind = KINDS[threshold.kind]
    words = f"{kind[0].upper()}{kind[1:]}"
    return f"{words}: {threshold.reason}" if threshold.reason else words


def manual_threshold(page: PageContext, station: Station, current: Threshold) -> None:
    """Draw the form that sets another threshold, with the share of the last day's frames that lie above it."""
    allowed, digits, value_key = page.is_allowed("threshold.set"), decimals(current.value), f"{VALUE}-{station.id}"
    st.html(elements.heading("Set manually", "valid until the normal set or the false-reject rate changes"))
    value = st.number_input(
        "Threshold",
        value=current.value,
        step=5 * 10.0**-digits,
        format=f"%.{digits}f",
        key=value_key,
        disabled=not allowed,
        width=200,
    )
    with page.read() as session:
        st.caption(frames_above(page, session, station, value))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Reason", key=REASON, placeholder="e.g. glare since the new lamp", disabled=not allowed)
        st.button(
            "Set threshold",
            key=f"set-{current.made_at.timestamp()}",
            icon=":material/tune:",
            disabled=not allowed or value == current.value,
            on_click=set_threshold,
            args=(page, station, value_key),
        )


def decimals(value: float) -> int:
    """Return how many decimals give three significant digits, at least three: some thresholds are below 0.01."""
    return max(3, 2 - math.floor(math.log10(abs(value)))) if value else 3


def frames_above(page: PageContext, session: Session, station: Station, value: float) -> str:
    """Return how many of the last day's frames lie above a value."""
    now = page.now()
    bins = trends.histogram(session, station.id, now - DAY, now, BINS)
    total = sum(frames for _, _, frames in bins)
    if total == 0:
        return "Nothing was scored in the last day."
    above = sum(frames for low, high, frames in bins if decide_bin(low, high, value) == "flag")
    return (
        f"{formatting.count(above)} of the last day's {formatting.plural(total, 'frame')} "
        f"({formatting.share(above, total)}) lie above {formatting.score(value)}."
    )


def set_threshold(page: PageContext, station: Station, value_key: str) -> None:
    """Set the threshold that was typed, with its reason."""
    value, reason = float(st.session_state[value_key]), str(st.session_state.get(REASON) or "")
    if mutations.apply(
        page,
        lambda session, actor: threshold_actions.set_manually(session, actor, station.name, value, reason, page.now()),
        f"The threshold is {formatting.score(value)}. {versions_view.APPLIED_SOON}",
    ):
        st.session_state[REASON] = ""


def false_reject_rate(page: PageContext, station: Station) -> None:
    """Draw the form that sets the false-reject rate that thresholds are calibrated for."""
    allowed = page.is_allowed("threshold.set")
    st.html(elements.heading("False-reject rate", "running scorers calibrate a new threshold for it"))
    st.number_input(
        "Good parts that may be flagged, in percent",
        value=100 * station.settings.false_reject_rate,
        min_value=0.01,
        max_value=50.0,
        step=0.1,
        format="%.2f",
        key=f"{RATE}-{station.id}",
        disabled=not allowed,
        width=280,
    )
    st.text_input("Reason", key=RATE_REASON, placeholder="e.g. rejects are cheap here", disabled=not allowed)
    st.button(
        "Set rate",
        key="set-rate",
        icon=":material/target:",
        disabled=not allowed,
        on_click=set_rate,
        args=(page, station),
    )


def set_rate(page: PageContext, station: Station) -> None:
    """Set the false-reject rate that was typed, with its reason."""
    rate = st.session_state[f"{RATE}-{station.id}"] / 100
    reason = str(st.session_state.get(RATE_REASON) or "").strip()
    if not reason:
        mutations.refuse("Enter a reason for the audit log.")
        return
    if mutations.apply(
        page,
        lambda session, actor: threshold_actions.set_false_reject_rate(
            session, actor, station.name, rate, reason, page.now()
        ),
        f"The false-reject rate is {100 * rate:g} %. {versions_view.APPLIED_SOON}",
    ):
        st.session_state[RATE_REASON] = ""


def history_table(page: PageContext, versions: Sequence[NormalSet], threshold_history: Sequence[Threshold]) -> None:
    """Draw all thresholds as a table: both limits, what they were made from, and what the threshold can promise."""
    if not threshold_history:
        st.caption("No threshold was set so far.")
        return
    version_numbers = {version.id: version.version for version in versions}
    rows = [
        {
            "Time": formatting.date_and_time(threshold.made_at, page.time_zone),
            "Threshold": echarts.round_significant(threshold.value),
            "Review limit": rounded_or_none(threshold.review_limit),
            "Origin": origin(threshold),
            "Version": version_numbers.get(threshold.normal_set_id),
            "False-reject rate": f"{100 * threshold.false_reject_rate:g} %",
            "By": threshold.made_by,
            "Promise": threshold.guarantee,
        }
        for threshold in threshold_history
    ]
    st.dataframe(
        rows,
        key="threshold_history",
        hide_index=True,
        column_config={name: st.column_config.TextColumn(width="large") for name in ("Origin", "Promise")},
        alt="Thresholds and review limits, newest first",
    )


def rounded_or_none(review_limit: float | None) -> float | None:
    """Return a review limit as the table shows it; None for a threshold of a former version."""
    return None if review_limit is None else echarts.round_significant(review_limit)
