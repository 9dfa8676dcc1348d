"""Normal sets: a station's versions, drafts, what they would change, thresholds and the golden frame."""

import streamlit as st

from dashboard import context, formatting, mutations, theme
from dashboard.components import elements, verdict_html
from dashboard.normals import draft_view, golden_frame_view, thresholds_view, versions_view, what_if_view
from storage.line import jobs, normal_candidates, normal_sets, parked_frames, stations, thresholds
from storage.line.stations import Station

VERSIONS, DRAFT, WHAT_IF, THRESHOLD, GOLDEN = "Versions", "Draft", "What if", "Threshold", "Golden frame"
JOBS_LOOKED_AT = 50  # for the scores of a version's images


def normals_page() -> None:
    st.html(theme.desk_sheet())
    mutations.say_what_came_of_it()
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    if not places:
        st.title("Normal sets")
        st.markdown("There is no station yet. Add one with its first good parts:")
        st.page_link("../add_station/page.py", label="Add a station", icon=":material/add_a_photo:")
        st.code(
            "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate",
            language="bash",
            wrap_lines=True,
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="choices"):
        name = st.selectbox(
            "Station",
            list(places),
            index=0,
            placeholder=next(iter(places)),  # another page of this visit may have had all stations in view
            key="station",
            bind="query-params",
            label_visibility="collapsed",
            width=240,
        )
        what = st.segmented_control(
            "What",
            [VERSIONS, DRAFT, WHAT_IF, THRESHOLD, GOLDEN],
            default=VERSIONS,
            required=True,
            key="what",
            bind="query-params",
            label_visibility="collapsed",
        )
    of_station(places.get(name or "") or next(iter(places.values())), what or VERSIONS)


def of_station(place: Station, what: str) -> None:
    with context.reading() as session:
        versions = normal_sets.list_all(session, place.id)
        made = thresholds.history(session, place.id)
        waiting = parked_frames.count(session, place.id)
        picked = normal_candidates.list_all(session, place.id)
        asked = jobs.recent(session, place.id, kind="what_if", limit=JOBS_LOOKED_AT)
    st.html(elements.heading(place.name, place.settings.object_name))
    if not versions and what != DRAFT:
        none_yet(place, waiting)
    elif what == VERSIONS:
        versions_view.versions_view(place, versions, made, asked)
        with st.expander("Station", icon=":material/info:"):
            st.html(verdict_html.station(place, context.zone()))
    elif what == DRAFT:
        draft_view.drafting_view(place, versions, picked)
    elif what == WHAT_IF:
        what_if_view.what_if_view(place, versions)
    elif what == THRESHOLD:
        thresholds_view.thresholds_view(place, versions, made)
    else:
        golden_frame_view.golden_view(place)


def none_yet(place: Station, waiting: int) -> None:
    with st.container(border=True, key="card-none"):
        st.html(
            elements.heading("No normal set yet", f"{formatting.plural(waiting, 'frame')} waiting" if waiting else "")
        )
        st.markdown("Give it 2 to 64 pictures of good parts, under Draft above or by a command:")
        st.code(f"andon normals add {place.name} FOLDER-OF-GOOD-PARTS --activate", language="bash", wrap_lines=True)


normals_page()
