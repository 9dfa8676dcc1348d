"""What a station learnt from labelled defects: its newest defect set, and whether frames are scored with it."""

import streamlit as st

from dashboard import formatting
from dashboard.components import elements
from dashboard.context import PageContext
from dashboard.normals import normals_html
from storage.learning import defect_sets
from storage.learning.defect_sets import DefectSet
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station


def defect_set_view(page: PageContext, station: Station, active: NormalSet | None) -> None:
    """Draw the newest defect set of the active version; nothing while no frame was labelled a defect."""
    with page.read() as session:
        found = defect_sets.history(session, station.id)
    newest = next((one for one in found if active is not None and one.normal_set_id == active.id), None)
    if newest is None:
        return
    with st.container(border=True, key="card-defects"):
        st.html(elements.heading("Defect set", note(newest)))
        if newest.defects:
            st.html(normals_html.defect_set(newest))
        else:
            st.caption(newest.reason)
        age = formatting.ago(newest.made_at, page.now())
        st.caption(f"Made by {newest.made_by}, {age}, from the labels on the page Review.")


def note(newest: DefectSet) -> str:
    """Return the version of a defect set, and whether it is in use."""
    return f"version {newest.version}, {'in use' if newest.in_use else 'not in use'}"
