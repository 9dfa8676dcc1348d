"""A station's thresholds: the one in force and what it promises, every one before it, and how to set another."""

import math
from collections.abc import Sequence
from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations
from dashboard.auth import identity
from dashboard.charts import scores
from dashboard.components import elements, verdict_html
from storage.actions import thresholds as actions
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

DAY = timedelta(days=1)
BINS = 400
KINDS = {"calibrated": "from the normals", "reviewed": "from normals and accepted frames", "manual": "by hand"}
VALUE, REASON, RATE, RATE_REASON = "threshold_value", "threshold_reason", "rate_percent", "rate_reason"


def thresholds_view(place: Station, versions: Sequence[NormalSet], made: Sequence[Threshold]) -> None:
    active = next((version for version in versions if version.state == "active"), None)
    in_force = next((one for one in made if active and one.normal_set_id == active.id), None)
    left, right = st.columns([7, 5], gap="small")
    with left, st.container(border=True, key="card-threshold"):
        st.html(elements.heading("In force", f"version {active.version}" if active else "no version is active"))
        if in_force:
            st.html(verdict_html.promise(in_force))
            told = f"{KINDS[in_force.kind]}, by {in_force.made_by}, {formatting.ago(in_force.made_at, context.now())}"
            st.caption(f"{told}. {in_force.reason}".strip())
            by_hand(place, in_force)
        elif active:
            st.caption("No threshold yet: a scorer makes one when it first uses this version.")
    with right, st.container(border=True, key="card-rate"):
        sensitivity(place)
    with st.container(border=True, key="card-history"):
        st.html(elements.heading("History", "newest first; nothing is taken away"))
        history(versions, made)


def by_hand(place: Station, in_force: Threshold) -> None:
    """Another value for a reason, with what it would have done in the last day."""
    may = identity.may("threshold.set")
    digits = decimals(in_force.value)
    st.html(elements.heading("Set by hand", "it stays until a set, or the rate at the right, is changed"))
    value = st.number_input(
        "Threshold",
        value=in_force.value,
        step=5 * 10.0**-digits,
        format=f"%.{digits}f",
        key=f"{VALUE}-{place.id}",
        disabled=not may,
        width=200,
    )
    with context.reading() as session:
        st.caption(would_flag(session, place, value))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Reason", key=REASON, placeholder="such as: glare since the new lamp", disabled=not may)
        st.button(
            "Put in force",
            key=f"set-{in_force.made_at.timestamp()}",
            icon=":material/tune:",
            disabled=not may or value == in_force.value,
            on_click=put_in_force,
            args=(place, f"{VALUE}-{place.id}"),
        )


def decimals(value: float) -> int:
    """So many that three digits count, and at least three: thresholds of some detectors are a hundredth."""
    return max(3, 2 - math.floor(math.log10(abs(value)))) if value else 3


def would_flag(session: Session, place: Station, value: float) -> str:
    """How many of the last day's frames lie above a value."""
    now = context.now()
    bins = verdicts.histogram(session, place.id, now - DAY, now, BINS)
    total = sum(frames for _, _, frames in bins)
    if total == 0:
        return "Nothing was scored in the last day."
    above = sum(frames for low, _, frames in bins if low >= value)
    return (
        f"Above {formatting.score(value)} lie {formatting.count(above)} "
        f"of the last day's {formatting.plural(total, 'frame')} "
        f"({formatting.share(above, total)})."
    )


def put_in_force(place: Station, field: str) -> None:
    value, reason = float(st.session_state[field]), str(st.session_state.get(REASON) or "")
    if mutations.act(
        lambda session, who: actions.set_manually(session, who, place.name, value, reason, context.now()),
        f"The threshold is {formatting.score(value)}. Running scorers follow within seconds.",
    ):
        st.session_state[REASON] = ""


def sensitivity(place: Station) -> None:
    """How many good parts may be flagged: what thresholds are calibrated for."""
    may = identity.may("threshold.set")
    st.html(elements.heading("False rejects aimed at", "running scorers then calibrate anew"))
    st.number_input(
        "Percent of good parts",
        value=100 * place.settings.false_reject_rate,
        min_value=0.01,
        max_value=50.0,
        step=0.1,
        format="%.2f",
        key=f"{RATE}-{place.id}",
        disabled=not may,
        width=200,
    )
    st.text_input("Reason", key=RATE_REASON, placeholder="such as: rejects are cheap here", disabled=not may)
    st.button("Aim at it", key="set-rate", icon=":material/target:", disabled=not may, on_click=aim, args=(place,))


def aim(place: Station) -> None:
    rate, reason = st.session_state[f"{RATE}-{place.id}"] / 100, str(st.session_state.get(RATE_REASON) or "").strip()
    if not reason:
        mutations.refuse("Say in a few words why: it stands in the audit log.")
        return
    if mutations.act(
        lambda session, who: actions.set_false_reject_rate(session, who, place.name, rate, reason, context.now()),
        f"{100 * rate:g} % false rejects are aimed at.",
    ):
        st.session_state[RATE_REASON] = ""


def history(versions: Sequence[NormalSet], made: Sequence[Threshold]) -> None:
    if not made:
        st.caption("No threshold was made so far.")
        return
    number = {version.id: version.version for version in versions}
    rows = [
        {
            "When": formatting.moment(one.made_at, context.zone())[:-4],
            "Threshold": scores.short(one.value),
            "Made": KINDS[one.kind],
            "Version": number.get(one.normal_set_id),
            "Aimed at": f"{100 * one.false_reject_rate:g} %",
            "By": one.made_by,
            "Reason or promise": one.reason or one.guarantee,
        }
        for one in made
    ]
    st.dataframe(
        rows,
        key="threshold_history",
        hide_index=True,
        column_config={"Reason or promise": st.column_config.TextColumn(width="large")},
        alt="Thresholds, newest first",
    )
