"""Mutes: stations under maintenance, whose alerts notify nobody."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import formatting
from dashboard.alerts import muting
from dashboard.components import elements
from dashboard.context import PageContext
from storage.alerts import mutes
from storage.alerts.mutes import Mute
from storage.line import stations

SHOWN_PER_STATION = 20


def panel(page: PageContext) -> None:
    """Draw the active mutes, the form that mutes a station, and earlier mutes."""
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
        active = mutes.in_force(session, page.now())
        earlier = {
            name: mutes.history(session, station.id, limit=SHOWN_PER_STATION) for name, station in by_name.items()
        }
    st.markdown(
        "While a station is muted, no alert of it opens and nobody is notified. Its frames are inspected as usual."
    )
    if not active:
        st.caption("No station is muted.")
    muting.active_mutes(page, by_name, active)
    if by_name:
        with st.container(border=True, key="card-mute"):
            st.html(elements.heading("Mute a station"))
            muting.mute_form(page, list(by_name))
    history(page, earlier)


def history(page: PageContext, by_station: Mapping[str, Sequence[Mute]]) -> None:
    """Draw the mutes of all stations as a table, newest first; nothing without mutes."""
    zone = page.time_zone
    newest = sorted(
        ((name, mute) for name, own in by_station.items() for mute in own),
        key=lambda pair: pair[1].muted_at,
        reverse=True,
    )
    rows = [
        {
            "Station": name,
            "From": formatting.date_and_time(mute.muted_at, zone),
            "Until": formatting.date_and_time(mute.ended_at or mute.until_at, zone),
            "By": mute.muted_by,
            "Reason": mute.reason,
            "Ended early by": mute.ended_by or "",
        }
        for name, mute in newest
    ]
    if rows:
        st.html(elements.heading("History"))
        st.dataframe(rows, hide_index=True, key="mutes_table", alt="Mutes, newest first")
