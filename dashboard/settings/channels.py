"""Channels, to which notifications are sent. A channel's URL is a secret: it is stored and never shown."""

import streamlit as st

from alerts.errors import NotificationFailed
from alerts.notification import dispatcher
from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.context import PageContext
from storage.actions import channels as channel_actions
from storage.alerts import channels, notifications
from storage.alerts.alerts import SEVERITIES, Severity
from storage.alerts.channels import Channel
from storage.errors import StorageError


def panel(page: PageContext) -> None:
    """Draw the channels, and for an admin the form that adds one."""
    st.markdown(
        "A channel is an [apprise](https://appriseit.com/services/) URL: e-mail, webhook, Slack, Teams, Telegram and "
        "many more. It is notified when an alert of the chosen severity or above opens, is acknowledged, or is "
        "resolved."
    )
    channel_list(page)
    if page.is_allowed("channel.add"):
        add_form(page)


def channel_list(page: PageContext) -> None:
    """Draw the channels with their controls, and how many notifications wait to be sent."""
    with page.read() as session:
        all_channels, pending = channels.list_all(session), notifications.count_pending(session)
    if pending:
        waiting = formatting.plural(pending, "notification")
        st.caption(f"{waiting} to send; `andon alerts watch` sends them.")
    if not all_channels:
        st.caption("There is no channel: nobody is notified of alerts.")
    for channel in all_channels:
        channel_row(page, channel)


def channel_row(page: PageContext, channel: Channel) -> None:
    """Draw one channel with its switch and the buttons that test and remove it."""
    may_set, switch_key = page.is_allowed("channel.set"), f"channel-on-{channel.id}"
    name, service = formatting.escape_markdown(channel.name), formatting.escape_markdown(channel.service)
    with st.container(
        horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"card-channel-{channel.id}"
    ):
        st.markdown(f"**{name}** · {service} · {channel.min_severity} and above", width="stretch")
        st.toggle(
            "On",
            value=channel.enabled,
            key=switch_key,
            disabled=not may_set,
            on_change=set_enabled,
            args=(page, channel.name, switch_key),
        )
        if st.button(
            "Test", icon=":material/send:", key=f"test-{channel.id}", disabled=not page.is_allowed("channel.test")
        ):
            with st.spinner("sending"):
                send_test(page, channel.name)
            mutations.show_outcome()
        with st.popover("Remove", disabled=not may_set):
            st.markdown(f"This deletes the URL of {name} and its notifications that were not sent yet.")
            st.button("Remove channel", key=f"remove-{channel.id}", on_click=remove, args=(page, channel.name))


def set_enabled(page: PageContext, name: str, key: str) -> None:
    """Enable or disable a channel according to its switch."""
    enabled = bool(st.session_state[key])
    mutations.apply(
        page,
        lambda session, actor: channel_actions.set_enabled(session, actor, name, enabled, page.now()),
        f"{name} is {'on' if enabled else 'off'}.",
    )


def send_test(page: PageContext, name: str) -> None:
    """Record a test in the audit log, then send it outside of the transaction, which a slow service would hold."""
    try:
        with page.database.begin() as session:
            channel = channel_actions.get_for_test(session, page.actor, name, page.now())
        dispatcher.send_test(channel, page.actor.name, page.now())
    except (StorageError, NotificationFailed) as error:
        mutations.refuse(str(error))
    else:
        mutations.succeed(f"The test message was sent to {name}.")


def remove(page: PageContext, name: str) -> None:
    """Remove a channel."""
    mutations.apply(
        page,
        lambda session, actor: channel_actions.remove(session, actor, name, page.now()),
        f"{name} was removed.",
    )


def add_form(page: PageContext) -> None:
    """Draw the form that adds a channel."""
    with st.container(border=True, key="card-add-channel"):
        st.html(elements.heading("Add a channel"))
        with st.form("add-channel", border=False, clear_on_submit=True):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                name = st.text_input("Name", placeholder="quality e-mail", max_chars=64, width=220)
                url = st.text_input("URL", type="password", placeholder="mailtos://…", autocomplete="off")
                min_severity: Severity = st.selectbox("Minimum severity", SEVERITIES, index=1, width=160)
            submitted = st.form_submit_button("Add channel", icon=":material/add:")
        if submitted:
            mutations.apply(
                page,
                lambda session, actor: channel_actions.add(
                    session, actor, name.strip(), url.strip(), min_severity, page.now()
                ),
                f"{name} was added. Send it a test message.",
            )
            st.rerun()
