"""The normal sets page: a station's versions, drafts, what-ifs, thresholds and golden frame."""

import streamlit as st

from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.components.station_choice import choose_station_or_first
from dashboard.context import PageContext
from dashboard.normals import (
    draft_view,
    golden_frame_view,
    normals_html,
    proposal_view,
    thresholds_view,
    versions_view,
    what_if_view,
)
from storage.line import jobs, normal_candidates, normal_sets, parked_frames, stations, thresholds
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES
from storage.line.stations import Station

VERSIONS, DRAFT, PROPOSAL, WHAT_IF = "Versions", "Draft", "Proposal", "What if"
THRESHOLD, GOLDEN = "Threshold", "Golden frame"
WHAT_IFS_READ = 50  # newest ones, for the scores of a version's images


def normals_page(page: PageContext) -> None:
    """Draw the choice of a station and a view, and the view."""
    st.title("Normal sets")
    mutations.show_outcome()
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    if not by_name:
        no_stations(page)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="choices"):
        name = choose_station_or_first(by_name)
        view = st.segmented_control(
            "View",
            [VERSIONS, DRAFT, PROPOSAL, WHAT_IF, THRESHOLD, GOLDEN],
            default=VERSIONS,
            required=True,
            key="view",
            bind="query-params",
            label_visibility="collapsed",
        )
    station_view(page, by_name[name], view or VERSIONS)


def no_stations(page: PageContext) -> None:
    """Draw how to add the first station."""
    st.markdown("There is no station yet. Add one with its first good parts:")
    st.page_link(page.pages["add-station"], label="Add a station", icon=":material/add_a_photo:")
    st.code(
        "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate", language="bash", wrap_lines=True
    )


def station_view(page: PageContext, station: Station, view: str) -> None:
    """Draw one view of a station's normal sets."""
    with page.read() as session:
        versions = normal_sets.list_all(session, station.id)
        threshold_history = thresholds.history(session, station.id)
        waiting = parked_frames.count(session, station.id)
        candidates = normal_candidates.list_all(session, station.id)
        what_ifs = jobs.recent(session, station.id, kind="what_if", limit=WHAT_IFS_READ)
    st.html(elements.heading(station.name, station.settings.object_name))
    if not versions and view != DRAFT:
        no_normal_set(station, waiting)
    elif view == VERSIONS:
        versions_view.versions_view(page, station, versions, threshold_history, what_ifs)
        with st.expander("Station settings", icon=":material/info:"):
            st.html(normals_html.station_settings(station, page.time_zone))
    elif view == DRAFT:
        draft_view.draft_view(page, station, versions, candidates)
    elif view == PROPOSAL:
        proposal_view.proposal_view(page, station, versions)
    elif view == WHAT_IF:
        what_if_view.what_if_view(page, station, versions)
    elif view == THRESHOLD:
        thresholds_view.thresholds_view(page, station, versions, threshold_history)
    else:
        golden_frame_view.golden_frame_view(page, station)


def no_normal_set(station: Station, waiting: int) -> None:
    """Draw how to give a station its first normal set."""
    with st.container(border=True, key="card-none"):
        note = f"{formatting.plural(waiting, 'frame')} waiting" if waiting else ""
        st.html(elements.heading("No normal set yet", note))
        st.markdown(f"Add {MIN_IMAGES} to {MAX_IMAGES} images of good parts in the view Draft, or with this command:")
        command = f"andon normals add {station.name} FOLDER-OF-GOOD-PARTS --activate"
        st.code(command, language="bash", wrap_lines=True)
