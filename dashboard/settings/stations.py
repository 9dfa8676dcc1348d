"""Stations: what each looks at, how its frames are framed, and how many good parts it may flag."""

from dataclasses import replace
from typing import get_args

import streamlit as st

from dashboard import context, formatting, mutations
from dashboard.auth import identity
from dashboard.components import elements
from storage.actions import stations as actions
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import FramingKind, Station, StationSettings, WithoutNormals
from storage.line.thresholds import Threshold

FRAMINGS = {
    "letterbox": "the whole frame, with bars",
    "stretch": "the whole frame, stretched to a square",
    "centre_crop": "the middle of the frame",
    "tiles_2": "2 × 2 tiles, for small defects",
    "tiles_3": "3 × 3 tiles, for very small defects",
}
WITHOUT = {"wait": "frames wait for the first normal set", "no_reference": "frames pass without a verdict"}
STALE_AT_LEAST_S = 0.1


def panel() -> None:
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    may_edit = identity.may("station.edit")
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        name = st.selectbox(
            "Station", list(places), key="station", bind="query-params", width=280, placeholder="No station yet"
        )
        if identity.may("station.add"):
            st.page_link("../add_station/page.py", label="Add a station", icon=":material/add_a_photo:")
    if name is None:
        return
    left, right = st.columns([3, 2], gap="small")
    with left, st.container(border=True, key="card-station-settings"):
        edit(places[name], may_edit)
    with right, st.container(border=True, key="card-threshold"):
        threshold_of(places[name])


def edit(place: Station, may_edit: bool) -> None:
    now = place.settings
    st.html(elements.heading(place.name, f"added {formatting.moment(place.created_at, context.zone())[:-7]}"))
    with st.form(f"station-{place.id}", border=False):
        object_name = st.text_input("What it looks at", value=now.object_name, max_chars=120, disabled=not may_edit)
        percent = st.number_input(
            "Good parts that may be flagged, in percent",
            min_value=0.01,
            max_value=50.0,
            value=100 * now.false_reject_rate,
            format="%g",
            disabled=not may_edit,
            help="The sensitivity. Scorers calibrate a new threshold for it, in place of one set by hand too.",
        )
        framings, withouts = get_args(FramingKind), get_args(WithoutNormals)
        framing: FramingKind = st.selectbox(
            "Framing",
            framings,
            index=framings.index(now.framing),
            format_func=lambda one: f"{one.replace('_', ' ')}: {FRAMINGS.get(one, '')}",
            disabled=not may_edit,
            help="Another framing needs new references, and in part another threshold: scorers make both.",
        )
        without: WithoutNormals = st.selectbox(
            "Without a normal set",
            withouts,
            index=withouts.index(now.without_normals),
            format_func=lambda one: WITHOUT[one],
            disabled=not may_edit,
        )
        stale_after_s = st.number_input(
            "Counts as silent after, in seconds",
            min_value=STALE_AT_LEAST_S,
            value=now.stale_after_s,
            format="%g",
            disabled=not may_edit,
        )
        sample_one_in = st.number_input(
            "Of the frames that pass, one in so many is drawn at random for review",
            min_value=0,
            max_value=stations.MAX_SAMPLE_ONE_IN,
            value=now.sample_one_in,
            disabled=not may_edit,
            help="Escapes are estimated from these frames. 0 draws none, and then nobody can say what escapes.",
        )
        reason = st.text_input("Reason", max_chars=500, disabled=not may_edit)
        pressed = st.form_submit_button("Save", icon=":material/save:", type="primary", disabled=not may_edit)
    if pressed:
        wanted = replace(
            now,
            object_name=object_name.strip(),
            false_reject_rate=round(percent / 100, 6),
            framing=framing,
            without_normals=without,
            stale_after_s=float(stale_after_s),
            sample_one_in=int(sample_one_in),
        )
        save(place, wanted, reason)
        st.rerun()


def save(place: Station, wanted: StationSettings, reason: str) -> None:
    mutations.act(
        lambda session, who: actions.edit(session, who, place.name, wanted, context.now(), reason),
        f"{place.name} is saved; running scorers follow within seconds.",
    )


def threshold_of(place: Station) -> None:
    """Which threshold is in force, and who made it."""
    with context.reading() as session:
        active = normal_sets.active(session, place.id)
        made = thresholds.history(session, place.id)
    st.html(elements.heading("Threshold", f"normal set {active.version}" if active else "no normal set yet"))
    here = [one for one in made if active is not None and one.normal_set_id == active.id]
    if not here:
        st.caption("None yet: a scorer makes one when it first uses a normal set.")
        return
    st.html(elements.strip(elements.figure("In force", formatting.score(here[0].value), said_of(here[0]))))
    if here[0].guarantee:
        st.markdown(here[0].guarantee.replace("`", "'"))
    zone = context.zone()
    st.dataframe(
        [
            {
                "When": formatting.moment(one.made_at, zone)[:-7],
                "Threshold": formatting.score(one.value),
                "How": said_of(one),
                "By": one.made_by,
                "Reason": one.reason,
            }
            for one in here[:50]
        ],
        hide_index=True,
        key="thresholds_table",
        alt="Thresholds of the active normal set, newest first",
    )
    st.page_link("../normals/page.py", label="Normal sets and thresholds", query_params={"station": place.name})


def said_of(threshold: Threshold) -> str:
    kinds = {"calibrated": "from the normal set", "reviewed": "with reviewed frames", "manual": "set by hand"}
    return f"{kinds[threshold.kind]}, {100 * threshold.false_reject_rate:g} % false rejects"
