"""Stations: the object they inspect, the framing of their frames, and their false-reject rate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import streamlit as st

from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.components.elements import Metric
from dashboard.components.station_choice import choose_station_or_first
from dashboard.context import PageContext
from dashboard.settings.mask_editor import mask_editor
from storage.actions import stations as station_actions
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import Autopilot, BitDepth, FramingKind, Station, StationSettings, WithoutNormals
from storage.line.thresholds import Threshold, ThresholdKind

FRAMINGS: Mapping[FramingKind, str] = {
    "letterbox": "the whole frame, with padding",
    "stretch": "the whole frame, stretched to a square",
    "centre_crop": "the middle of the frame",
    "tiles_2": "2 × 2 tiles, for small defects",
    "tiles_3": "3 × 3 tiles, for very small defects",
}
WITHOUT_NORMALS: Mapping[WithoutNormals, str] = {
    "wait": "frames wait for the first normal set",
    "no_reference": "frames are not scored: their verdict is “no reference”",
}
THRESHOLD_KINDS: Mapping[ThresholdKind, str] = {
    "calibrated": "from the normal set",
    "estimated": "estimated from the stream",
    "reviewed": "from the stream and its labels",
    "manual": "set manually",
}
AUTOPILOT: Mapping[Autopilot, str] = {
    "off": "off: only people ask for proposals",
    "propose": "propose drafts, which a person activates",
    "act": "propose, and activate where no guard rail objects",
}
MIN_STALE_AFTER_S = 0.1
THRESHOLDS_SHOWN = 50


def panel(page: PageContext) -> None:
    """Draw the settings of a station and its thresholds."""
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        name = choose_station_or_first(by_name, width=280) if by_name else None
        if page.is_allowed("station.add"):
            st.page_link(page.pages["add-station"], label="Add a station", icon=":material/add_a_photo:")
    if name is None:
        st.caption("There is no station yet.")
        return
    left, right = st.columns([3, 2], gap="small")
    with left, st.container(border=True, key="card-station-settings"):
        settings_form(page, by_name[name])
    with right, st.container(border=True, key="card-threshold"):
        threshold_history(page, by_name[name])
    with st.container(border=True, key="card-mask"):
        mask_editor(page, by_name[name])


def settings_form(page: PageContext, station: Station) -> None:
    """Draw the form that changes a station's settings."""
    enabled = page.is_allowed("station.edit")
    st.html(elements.heading(station.name, f"added {formatting.date_and_time(station.created_at, page.time_zone)}"))
    with st.form(f"station-{station.id}", border=False):
        changed = monitoring_fields(inspection_fields(station, enabled=enabled), enabled=enabled)
        changed = learning_fields(changed, enabled=enabled)
        reason = st.text_input("Reason", max_chars=500, disabled=not enabled)
        submitted = st.form_submit_button("Save", icon=":material/save:", type="primary", disabled=not enabled)
    if submitted:
        save(page, station, changed, reason)
        st.rerun()


def inspection_fields(station: Station, *, enabled: bool) -> StationSettings:
    """Draw the fields for what is inspected and how, and return the station's settings with their values."""
    current = station.settings
    object_name = st.text_input("Object", value=current.object_name, max_chars=120, disabled=not enabled)
    percent = st.number_input(
        "False-reject rate: good parts that may be flagged, in percent",
        min_value=0.01,
        max_value=50.0,
        value=100 * current.false_reject_rate,
        format="%g",
        disabled=not enabled,
        key=f"rate-{station.id}",
        help="Scorers calibrate a new threshold for it, which also replaces one that was set manually.",
    )
    framings = get_args(FramingKind)
    framing: FramingKind = st.selectbox(
        "Framing",
        framings,
        index=framings.index(current.framing),
        format_func=lambda kind: f"{kind.replace('_', ' ')}: {FRAMINGS[kind]}",
        disabled=not enabled,
        help="Scorers compute new references and a new threshold for another framing.",
    )
    depths = get_args(BitDepth)
    bit_depth: BitDepth = st.selectbox(
        "Bit depth of the camera",
        depths,
        index=depths.index(current.bit_depth),
        disabled=not enabled,
        help="Bits that the camera fills of samples in words of 16. auto is the smallest that holds the largest "
        "sample of the normal set. Scorers compute new references for another depth.",
    )
    return replace(
        current,
        object_name=object_name.strip(),
        false_reject_rate=round(percent / 100, 6),
        framing=framing,
        bit_depth=bit_depth,
    )


def monitoring_fields(current: StationSettings, *, enabled: bool) -> StationSettings:
    """Draw the fields for a missing normal set, a silent camera and the random sample; return the new settings."""
    choices = get_args(WithoutNormals)
    without_normals: WithoutNormals = st.selectbox(
        "Without a normal set",
        choices,
        index=choices.index(current.without_normals),
        format_func=lambda choice: WITHOUT_NORMALS[choice],
        disabled=not enabled,
    )
    stale_after_s = st.number_input(
        "Silent after, in seconds",
        min_value=MIN_STALE_AFTER_S,
        value=current.stale_after_s,
        format="%g",
        disabled=not enabled,
    )
    sample_one_in = st.number_input(
        "Random sample: review one in this many frames that pass",
        min_value=0,
        max_value=stations.MAX_SAMPLE_ONE_IN,
        value=current.sample_one_in,
        disabled=not enabled,
        help="Escapes are estimated from the sample. 0 turns it off, and then escapes can't be estimated.",
    )
    return replace(
        current,
        without_normals=without_normals,
        stale_after_s=float(stale_after_s),
        sample_one_in=int(sample_one_in),
    )


def learning_fields(current: StationSettings, *, enabled: bool) -> StationSettings:
    """Draw the fields for what a station learns from its stream; return the new settings."""
    reviews_per_shift = st.number_input(
        "Frames that people have time to review, per shift of 8 hours",
        min_value=0,
        max_value=stations.MAX_REVIEWS_PER_SHIFT,
        value=current.reviews_per_shift,
        disabled=not enabled,
        help="Sets the review limit: about so many frames are flagged or borderline, at most 5 % of all. "
        "At 0 no frame is borderline.",
    )
    modes = get_args(Autopilot)
    autopilot: Autopilot = st.selectbox(
        "Autopilot: grow the normals from the stream",
        modes,
        index=modes.index(current.autopilot),
        format_func=lambda mode: AUTOPILOT[mode],
        disabled=not enabled,
        help="Guard rails: no confirmed defect may pass that is flagged today, the flagged share stays within limits, "
        "nothing is activated while the scores drift, and each activation is in the audit log and can be rolled back.",
    )
    learn_defects = st.checkbox(
        "Learn what defects look like from the frames that people called defects",
        value=current.learn_defects,
        disabled=not enabled,
        help="The score then counts how much a frame resembles them, where that catches no fewer of them than without.",
    )
    return replace(current, reviews_per_shift=int(reviews_per_shift), autopilot=autopilot, learn_defects=learn_defects)


def save(page: PageContext, station: Station, changed: StationSettings, reason: str) -> None:
    """Store a station's settings."""
    mutations.apply(
        page,
        lambda session, actor: station_actions.edit(session, actor, station.name, changed, page.now(), reason),
        f"{station.name} was saved. Running scorers apply it within seconds.",
    )


def threshold_history(page: PageContext, station: Station) -> None:
    """Draw the current limits of the active normal set and earlier ones."""
    with page.read() as session:
        active = normal_sets.active(session, station.id)
        recorded = thresholds.history(session, station.id)
    st.html(elements.heading("Threshold", f"normal set v{active.version}" if active else "no normal set yet"))
    active_thresholds = [
        threshold for threshold in recorded if active is not None and threshold.normal_set_id == active.id
    ]
    if not active_thresholds:
        st.caption("No threshold yet: a scorer calibrates one when it first uses a normal set.")
        return
    current = active_thresholds[0]
    st.html(
        elements.metrics(
            Metric("Threshold", formatting.score(current.value), threshold_origin(current)),
            Metric("Review limit", formatting.score(current.review_limit), review_limit_meaning(current)),
        )
    )
    if current.guarantee:
        st.markdown(current.guarantee.replace("`", "'"))
    st.dataframe(
        [
            {
                "Time": formatting.date_and_time(threshold.made_at, page.time_zone),
                "Threshold": formatting.score(threshold.value),
                "Review limit": formatting.score(threshold.review_limit),
                "Origin": threshold_origin(threshold),
                "By": threshold.made_by,
                "Reason": threshold.reason,
            }
            for threshold in active_thresholds[:THRESHOLDS_SHOWN]
        ],
        hide_index=True,
        key="thresholds_table",
        alt="Thresholds of the active normal set, newest first",
    )
    st.page_link(page.pages["normals"], label="Normal sets and thresholds", query_params={"station": station.name})


def review_limit_meaning(threshold: Threshold) -> str:
    """Return what the review limit does to frames."""
    if threshold.review_limit is None:
        return "not known yet"
    return "no frame is borderline" if threshold.review_limit == threshold.value else "above it a frame goes to review"


def threshold_origin(threshold: Threshold) -> str:
    """Return how a threshold was made."""
    return f"{THRESHOLD_KINDS[threshold.kind]}, {100 * threshold.false_reject_rate:g} % false rejects"
