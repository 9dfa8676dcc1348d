"""Mutes of stations under maintenance: which are active, and a form for a new one."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import mutations
from dashboard.alerts import alert_html
from dashboard.context import PageContext
from storage.actions import alerts as alert_actions
from storage.alerts.mutes import Mute
from storage.auth.actors import Actor
from storage.line.stations import Station

DURATIONS = {
    "1 hour": timedelta(hours=1),
    "4 hours": timedelta(hours=4),
    "1 shift (8 hours)": timedelta(hours=8),
    "1 day": timedelta(days=1),
    "1 week": timedelta(days=7),
}


def active_mutes(page: PageContext, by_name: Mapping[str, Station], mutes: Mapping[int, Mute]) -> None:
    """Draw the stations that are muted, each with a button that ends the mute; `mutes` are by station id."""
    for name, station in by_name.items():
        if station.id not in mutes:
            continue
        with st.container(horizontal=True, vertical_alignment="center", key=f"muted-{station.id}"):
            st.html(alert_html.muted(name, mutes[station.id], page.now(), page.time_zone), width="content")
            st.button(
                "End mute",
                key=f"unmute-{station.id}",
                disabled=not page.is_allowed("alert.unmute"),
                on_click=unmute,
                args=(page, name),
            )


def unmute(page: PageContext, station: str) -> None:
    """End the mute of a station."""
    mutations.apply(
        page,
        lambda session, actor: alert_actions.unmute(session, actor, station, page.now()),
        f"The mute of {station} has ended.",
    )


def mute_form(page: PageContext, stations: Sequence[str]) -> None:
    """Draw a form that mutes a station for a time and a reason."""
    with (
        st.form("mute", border=False, clear_on_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        station = st.selectbox("Station to mute", stations, width=200)
        duration = st.selectbox("For", list(DURATIONS), width=170)
        reason = st.text_input("Reason", placeholder="lamp replacement", max_chars=500)
        submitted = st.form_submit_button(
            "Mute", icon=":material/notifications_paused:", disabled=not page.is_allowed("alert.mute")
        )
    if submitted:
        mute(page, station, reason, page.now() + DURATIONS[duration])
        st.rerun()


def mute(page: PageContext, station: str, reason: str, until: datetime) -> None:
    """Mute a station until a time."""

    def change(session: Session, actor: Actor) -> Mute:
        return alert_actions.mute(session, actor, station, until, reason, page.now())

    mutations.apply(page, change, f"{station} is muted: no alert opens and nobody is notified.")
