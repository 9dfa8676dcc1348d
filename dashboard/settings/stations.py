"""Stations: the object they inspect, the framing of their frames, and their false-reject rate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import streamlit as st

from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.components.elements import Figure
from dashboard.context import PageContext
from storage.actions import stations as station_actions
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import FramingKind, Station, StationSettings, WithoutNormals
from storage.line.thresholds import Threshold

FRAMINGS: Mapping[FramingKind, str] = {
    "letterbox": "the whole frame, with padding",
    "stretch": "the whole frame, stretched to a square",
    "centre_crop": "the middle of the frame",
    "tiles_2": "2 × 2 tiles, for small defects",
    "tiles_3": "3 × 3 tiles, for very small defects",
}
WITHOUT_NORMALS: Mapping[WithoutNormals, str] = {
    "wait": "frames wait for the first normal set",
    "no_reference": "frames pass without a verdict",
}
THRESHOLD_KINDS = {"calibrated": "from the normal set", "reviewed": "with reviewed frames", "manual": "set manually"}
MIN_STALE_AFTER_S = 0.1
THRESHOLDS_SHOWN = 50


def panel(page: PageContext) -> None:
    """Draw the settings of a station and its thresholds."""
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        name = st.selectbox(
            "Station", list(by_name), key="station", bind="query-params", width=280, placeholder="No station yet"
        )
        if page.may("station.add"):
            st.page_link(page.pages["add-station"], label="Add a station", icon=":material/add_a_photo:")
    if name is None:
        return
    left, right = st.columns([3, 2], gap="small")
    with left, st.container(border=True, key="card-station-settings"):
        settings_form(page, by_name[name])
    with right, st.container(border=True, key="card-threshold"):
        threshold_history(page, by_name[name])


def settings_form(page: PageContext, station: Station) -> None:
    """Draw the form that changes a station's settings."""
    current, disabled = station.settings, not page.may("station.edit")
    st.html(elements.heading(station.name, f"added {formatting.date_and_time(station.created_at, page.time_zone)}"))
    with st.form(f"station-{station.id}", border=False):
        object_name = st.text_input("Object", value=current.object_name, max_chars=120, disabled=disabled)
        percent = st.number_input(
            "False-reject rate: good parts that may be flagged, in percent",
            min_value=0.01,
            max_value=50.0,
            value=100 * current.false_reject_rate,
            format="%g",
            disabled=disabled,
            key=f"rate-{station.id}",
            help="Scorers calibrate a new threshold for it, which also replaces one that was set manually.",
        )
        framings, withouts = get_args(FramingKind), get_args(WithoutNormals)
        framing: FramingKind = st.selectbox(
            "Framing",
            framings,
            index=framings.index(current.framing),
            format_func=lambda kind: f"{kind.replace('_', ' ')}: {FRAMINGS[kind]}",
            disabled=disabled,
            help="Scorers compute new references and a new threshold for another framing.",
        )
        without: WithoutNormals = st.selectbox(
            "Without a normal set",
            withouts,
            index=withouts.index(current.without_normals),
            format_func=lambda choice: WITHOUT_NORMALS[choice],
            disabled=disabled,
        )
        stale_after_s = st.number_input(
            "Silent after, in seconds",
            min_value=MIN_STALE_AFTER_S,
            value=current.stale_after_s,
            format="%g",
            disabled=disabled,
        )
        sample_one_in = st.number_input(
            "Random sample: review one in this many frames that pass",
            min_value=0,
            max_value=stations.MAX_SAMPLE_ONE_IN,
            value=current.sample_one_in,
            disabled=disabled,
            help="Escapes are estimated from the sample. 0 turns it off, and then escapes can't be estimated.",
        )
        reason = st.text_input("Reason", max_chars=500, disabled=disabled)
        submitted = st.form_submit_button("Save", icon=":material/save:", type="primary", disabled=disabled)
    if submitted:
        changed = replace(
            current,
            object_name=object_name.strip(),
            false_reject_rate=round(percent / 100, 6),
            framing=framing,
            without_normals=without,
            stale_after_s=float(stale_after_s),
            sample_one_in=int(sample_one_in),
        )
        save(page, station, changed, reason)
        st.rerun()


def save(page: PageContext, station: Station, changed: StationSettings, reason: str) -> None:
    """Store a station's settings."""
    mutations.apply(
        page,
        lambda session, actor: station_actions.edit(session, actor, station.name, changed, page.now(), reason),
        f"{station.name} was saved. Running scorers follow within seconds.",
    )


def threshold_history(page: PageContext, station: Station) -> None:
    """Draw the current threshold of the active normal set and earlier ones."""
    with page.read() as session:
        active = normal_sets.active(session, station.id)
        made = thresholds.history(session, station.id)
    st.html(elements.heading("Threshold", f"normal set v{active.version}" if active else "no normal set yet"))
    of_active = [threshold for threshold in made if active is not None and threshold.normal_set_id == active.id]
    if not of_active:
        st.caption("No threshold yet: a scorer calibrates one when it first uses a normal set.")
        return
    current = of_active[0]
    st.html(elements.strip(Figure("Current", formatting.score(current.value), origin(current))))
    if current.guarantee:
        st.markdown(current.guarantee.replace("`", "'"))
    st.dataframe(
        [
            {
                "Time": formatting.date_and_time(threshold.made_at, page.time_zone),
                "Threshold": formatting.score(threshold.value),
                "Origin": origin(threshold),
                "By": threshold.made_by,
                "Reason": threshold.reason,
            }
            for threshold in of_active[:THRESHOLDS_SHOWN]
        ],
        hide_index=True,
        key="thresholds_table",
        alt="Thresholds of the active normal set, newest first",
    )
    st.page_link(page.pages["normals"], label="Normal sets and thresholds", query_params={"station": station.name})


def origin(threshold: Threshold) -> str:
    """Return how a threshold was made."""
    return f"{THRESHOLD_KINDS[threshold.kind]}, {100 * threshold.false_reject_rate:g} % false rejects"
