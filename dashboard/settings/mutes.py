"""Mutes: stations under maintenance, of which nobody is told."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations
from dashboard.alerts import alert_html
from dashboard.auth import identity
from dashboard.components import elements
from storage.actions import alerts as actions
from storage.alerts import mutes
from storage.alerts.mutes import Mute
from storage.auth.actors import Actor
from storage.line import stations
from storage.line.stations import Station

MUTE_FOR = {
    "1 hour": timedelta(hours=1),
    "4 hours": timedelta(hours=4),
    "1 shift (8 hours)": timedelta(hours=8),
    "1 day": timedelta(days=1),
    "1 week": timedelta(days=7),
}


def panel() -> None:
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
        muted = mutes.in_force(session, context.now())
        past = {name: mutes.history(session, place.id, limit=20) for name, place in places.items()}
    st.markdown("While a station is muted no alert opens there and nobody is told of it; frames are inspected as ever.")
    if not muted:
        st.caption("No station is muted.")
    muted_now(places, muted)
    if places:
        with st.container(border=True, key="card-mute"):
            st.html(elements.heading("Mute a station"))
            mute_a_station(list(places))
    history(past)


def history(past: Mapping[str, Sequence[Mute]]) -> None:
    zone = context.zone()
    newest = sorted(
        ((name, mute) for name, kept in past.items() for mute in kept), key=lambda one: one[1].muted_at, reverse=True
    )
    rows = [
        {
            "Station": name,
            "From": mute.muted_at.astimezone(zone),
            "Until": (mute.ended_at or mute.until_at).astimezone(zone),
            "By": mute.muted_by,
            "Reason": mute.reason,
            "Ended early by": mute.ended_by or "",
        }
        for name, mute in newest
    ]
    if rows:
        st.html(elements.heading("History"))
        st.dataframe(rows, hide_index=True, key="mutes_table", alt="Mutes, newest first")


def muted_now(places: Mapping[str, Station], muted: Mapping[int, Mute]) -> None:
    """Who is quiet and why, with the way to end it."""
    may_end = identity.may("alert.unmute") if muted else False
    for name, place in places.items():
        if place.id not in muted:
            continue
        mute = muted[place.id]
        with st.container(horizontal=True, vertical_alignment="center", key=f"muted-{place.id}"):
            until = formatting.clock(mute.until_at, context.now(), context.zone())
            st.html(
                f'<span class="andon-chip idle">{elements.icon("notifications_paused")}muted</span> '
                + alert_html.sentence(f"{name} until {until} by {mute.muted_by}: {mute.reason}"),
                width="content",
            )
            st.button("End mute", key=f"unmute-{place.id}", disabled=not may_end, on_click=unmute, args=(name,))


def unmute(name: str) -> None:
    mutations.act(lambda session, who: actions.unmute(session, who, name, context.now()), f"{name} is watched again.")


def mute_a_station(names: Sequence[str]) -> None:
    """Maintenance: a station is worked on, and nobody wants to hear of it."""
    allowed = identity.may("alert.mute")
    with (
        st.form("mute", border=False, clear_on_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.selectbox("Station to mute", names, width=200)
        span = st.selectbox("For", list(MUTE_FOR), width=170)
        reason = st.text_input("Reason", placeholder="lamp is being changed", max_chars=500)
        pressed = st.form_submit_button("Mute", icon=":material/notifications_paused:", disabled=not allowed)
    if pressed:
        mute(name, reason, context.now() + MUTE_FOR[span])
        st.rerun()


def mute(name: str, reason: str, until: datetime) -> None:
    def change(session: Session, who: Actor) -> Mute:
        return actions.mute(session, who, name, until, reason, context.now())

    mutations.act(change, f"{name} is muted: no alert opens there, and nobody is told.")
