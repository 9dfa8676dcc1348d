"""The mask of a station, drawn over its newest picture: what of it is not inspected."""

import base64

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.context import PageContext
from dashboard.theme import ASSETS
from storage.actions import masks as mask_actions
from storage.areas import masks
from storage.areas.masks import Mask, mask_from_json
from storage.errors import InvalidChange
from storage.line import normal_sets, verdicts
from storage.line.stations import Station

MAX_WIDTH, MAX_HEIGHT = 1200, 1000
REFUSED = "refused_mask_"


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "andon.mask_editor",
        html=(ASSETS / "mask_editor.html").read_text(encoding="utf-8"),
        css=(ASSETS / "mask_editor.css").read_text(encoding="utf-8"),
        js=(ASSETS / "mask_editor.js").read_text(encoding="utf-8"),
    )


def mask_editor(page: PageContext, station: Station) -> None:
    """Draw the editor of a station's mask over its newest frame, or over a good part before the first one."""
    with page.read() as session:
        newest, active = verdicts.latest(session, station.id), normal_sets.active(session, station.id)
        versions = masks.history(session, station.id)
    note = "all of the picture is inspected"
    if versions and not versions[0].mask.is_empty:
        made = formatting.date_and_time(versions[0].made_at, page.time_zone)
        note = f"version {versions[0].version}, by {versions[0].made_by} on {made}"
    st.html(elements.heading("Mask", note))
    reference = newest.image_reference if newest else active.images[0].reference if active and active.images else None
    picture = page.thumbnail(reference, MAX_WIDTH, MAX_HEIGHT, station.id) if reference else None
    if picture is None:
        st.caption("There is no picture of this station yet: send a frame, or add good parts.")
        return
    refused = st.session_state.pop(f"{REFUSED}{station.id}", None)  # stays on the screen to be mended
    areas = refused or (versions[0].mask if versions else Mask()).to_json()
    drawn = _component()(
        key=f"mask-{station.id}",
        data={
            "station": station.name,
            "version": station.mask_version,
            "picture": f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}",
            "areas": areas,
            "mayEdit": page.is_allowed("station.edit"),
        },
        on_save_change=lambda: None,
    )
    if drawn.save is not None:
        save(page, station, drawn.save)
        st.rerun()


def save(page: PageContext, station: Station, areas: object) -> None:
    """Store the mask that was drawn."""
    try:
        mask = mask_from_json(areas)
    except InvalidChange as error:
        mutations.refuse(str(error))
        return
    is_saved = mutations.apply(
        page,
        lambda session, actor: mask_actions.set_mask(session, actor, station.name, mask, page.now()),
        f"The mask of {station.name} was saved. Running scorers apply it within seconds.",
    )
    if not is_saved:
        st.session_state[f"{REFUSED}{station.id}"] = areas
