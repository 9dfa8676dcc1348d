"""Channels: where people are told of alerts. An address is a secret: it is taken, never shown."""

from collections.abc import Sequence

import streamlit as st

from alerts.errors import NotificationFailed
from alerts.notification import dispatcher
from dashboard import context, mutations
from dashboard.auth import identity
from dashboard.auth.account import escaped
from dashboard.components import elements
from storage.actions import channels as actions
from storage.alerts import channels, notifications
from storage.alerts.alerts import SEVERITIES
from storage.alerts.channels import Channel
from storage.errors import StorageError


def panel() -> None:
    st.markdown(
        "Each channel is an [apprise](https://appriseit.com/services/) address: e-mail, webhook, Slack, Teams, "
        "Telegram and many more. It is told of alerts as grave as you say or graver: when they open, are "
        "acknowledged, and are resolved."
    )
    listed()
    if identity.may("channel.add"):
        add()


def listed() -> None:
    """The channels with their buttons."""
    with context.reading() as session:
        found, waiting = channels.list_all(session), notifications.count_pending(session)
    if waiting:
        st.caption(f"{waiting} messages wait to be sent; `andon alerts watch` sends them.")
    if not found:
        st.caption("Nobody is told of alerts yet: there is no channel.")
    may_set, may_test = identity.may("channel.set"), identity.may("channel.test")
    for channel in found:
        row(channel, may_set, may_test)


def row(channel: Channel, may_set: bool, may_test: bool) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"card-channel-{channel.id}"
    ):
        service = channel.url.partition("://")[0]
        st.markdown(
            f"**{escaped(channel.name)}** · {escaped(service)} · {channel.min_severity} and graver", width="stretch"
        )
        st.toggle(
            "On",
            value=channel.enabled,
            key=f"channel-on-{channel.id}",
            disabled=not may_set,
            on_change=switch,
            args=(channel.name, f"channel-on-{channel.id}"),
        )
        if st.button("Test", icon=":material/send:", key=f"test-{channel.id}", disabled=not may_test):
            with st.spinner("sending"):
                test(channel.name)
            mutations.say_what_came_of_it()
        with st.popover("Remove", disabled=not may_set):
            st.markdown(f"Its address is forgotten, and what waits to be told on {escaped(channel.name)}.")
            st.button("Remove it", key=f"remove-{channel.id}", on_click=remove, args=(channel.name,))


def switch(name: str, key: str) -> None:
    on = bool(st.session_state[key])
    mutations.act(
        lambda session, who: actions.set_enabled(session, who, name, on, context.now()),
        f"{name} is {'on' if on else 'off'}.",
    )


def test(name: str) -> None:
    """Enter the test first, then send, so that a slow service holds no transaction."""
    who = identity.actor()
    try:
        with context.changing() as session:
            channel = actions.get_for_test(session, who, name, context.now())
        dispatcher.send_test(channel, who.name, context.now())
    except (StorageError, NotificationFailed) as error:
        mutations.refuse(str(error))
    else:
        mutations.report(f"{name} took the test message.")


def remove(name: str) -> None:
    mutations.act(lambda session, who: actions.remove(session, who, name, context.now()), f"{name} is removed.")


def add() -> None:
    with st.container(border=True, key="card-add-channel"):
        st.html(elements.heading("Add a channel"))
        with st.form("add-channel", border=False, clear_on_submit=True):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                name = st.text_input("Name", placeholder="quality e-mail", max_chars=64, width=220)
                url = st.text_input("Address", type="password", placeholder="mailtos://…", autocomplete="off")
                least: Sequence[str] = SEVERITIES
                severity = st.selectbox("From", least, index=1, width=140)
            pressed = st.form_submit_button("Add channel", icon=":material/add:")
        if pressed:
            grave = next(one for one in SEVERITIES if one == severity)
            mutations.act(
                lambda session, who: actions.add(session, who, name.strip(), url.strip(), grave, context.now()),
                f"{name} is added: send it a test message.",
            )
            st.rerun()
