"""Stations with their normal sets and thresholds, to look at; changes are made by the `andon` command."""

import streamlit as st

from dashboard import facts, opening, tiles, words
from storage import normal_sets, parked, stations, thresholds
from storage.normal_sets import NormalSet
from storage.stations import Station
from storage.thresholds import Threshold

TONES = {"active": "green", "draft": "blue", "retired": "gray"}


def normals_page() -> None:
    st.title("Normal sets")
    with opening.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    if not places:
        st.markdown("There is no station yet. Add one with its first good parts:")
        st.code(
            "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate",
            language="bash",
            wrap_lines=True,
        )
        return
    name = st.pills(
        "Station",
        list(places),
        default=next(iter(places)),
        required=True,
        key="station",
        bind="query-params",
        label_visibility="collapsed",
    )
    opening.live(of_station, 10.0, places[name or next(iter(places))])


def of_station(place: Station) -> None:
    with opening.reading() as session:
        versions = normal_sets.list_of(session, place.id)
        made = thresholds.history(session, place.id)
        waiting = parked.count(session, place.id)
    left, right = st.columns([8, 4], gap="small")
    with left:
        if not versions:
            none_yet(place, waiting)
        for version in versions:
            normal_set(version, next((one for one in made if one.normal_set_id == version.id), None))
    with right, st.container(border=True, key="card-station"):
        st.html(tiles.heading(place.name, place.settings.object_name) + facts.station(place, opening.zone()))
        st.markdown("Add a version, or go back to the one before:")
        st.code(
            f"andon normals add {place.name} FOLDER --activate\nandon normals rollback {place.name}",
            language="bash",
            wrap_lines=True,
        )


def none_yet(place: Station, waiting: int) -> None:
    with st.container(border=True, key="card-none"):
        st.html(tiles.heading("No normal set yet", f"{words.plural(waiting, 'frame')} waiting" if waiting else ""))
        st.markdown("Give it 2 to 64 pictures of good parts; frames that wait become verdicts then:")
        st.code(f"andon normals add {place.name} FOLDER-OF-GOOD-PARTS --activate", language="bash", wrap_lines=True)


def normal_set(version: NormalSet, threshold: Threshold | None) -> None:
    with st.container(border=True, key=f"card-version-{version.version}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(
                tiles.heading(f"Version {version.version}", facts.history(version, opening.zone())), width="content"
            )
            st.badge(version.state, color=TONES[version.state])  # type: ignore[arg-type]
        if threshold:
            st.html(facts.promise(threshold))
        else:
            st.caption("No threshold yet: a scorer makes one when it first uses this version.")
        with st.grid("auto", min_column_width=88, gap="xxsmall", key=f"images-{version.version}"):
            for image in version.images:
                if copy := opening.small_copy(image.reference, 240, 240):
                    st.image(copy, width="stretch", alt=f"Good part {image.name}")


normals_page()
