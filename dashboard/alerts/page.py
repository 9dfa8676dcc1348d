"""The alerts page: the alerts that need attention, the evidence of each, and the actions taken."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.alerts import alert_html, evidence, muting
from dashboard.alerts.evidence import Evidence
from dashboard.components import elements
from dashboard.components.picture.outlined_image import outlined_image
from dashboard.components.picture.where import where
from dashboard.context import PageContext, draw_live
from dashboard.settings import channels as channel_settings
from storage.actions import alerts as alert_actions
from storage.alerts import alerts, channels, mutes, notifications
from storage.alerts.alerts import Alert, AlertState
from storage.errors import NotFound
from storage.line import stations, verdicts
from storage.line.stations import Station

PAGE_SIZE = 12
ALERT, PAGE = "alert", "alerts_page"
ALL_STATIONS, LINE = "All stations", "The line itself"
OPEN = "Open"
FILTERS: Mapping[str, Sequence[AlertState]] = {OPEN: ("opened", "acknowledged"), "Resolved": ("resolved",), "All": ()}
REFRESH_EVERY_S = 4.0
MAX_LINE_ALERTS = 1000  # newest alerts among which those of the line are searched


def alerts_page(page: PageContext) -> None:
    """Draw the filters, the stations that are muted, the alerts, and forms to mute a station and test channels."""
    st.title("Alerts")
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
        active_mutes = mutes.in_force(session, page.now())
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="choices"):
        states = st.segmented_control(
            "Show",
            list(FILTERS),
            default=OPEN,
            required=True,
            key="state",
            bind="query-params",
            label_visibility="collapsed",
            on_change=back_to_first_page,
        )
        scope = st.selectbox(
            "Station",
            [ALL_STATIONS, LINE, *by_name],
            key="scope",
            bind="query-params",
            label_visibility="collapsed",
            width=260,
            on_change=back_to_first_page,
        )
    mutations.show_outcome()
    muting.active_mutes(page, by_name, active_mutes)
    draw_live(page, list_and_detail, REFRESH_EVERY_S, states or OPEN, scope or ALL_STATIONS, by_name)
    if page.is_allowed("alert.mute") and by_name:
        with st.expander("Mute a station during maintenance", icon=":material/notifications_paused:"):
            muting.mute_form(page, list(by_name))
    if page.is_allowed("channel.test"):
        with st.expander("Notification channels", icon=":material/send:"):
            channel_settings.channel_list(page)


def back_to_first_page() -> None:
    """Forget the page of the list and the selected alert."""
    st.session_state.pop(PAGE, None)
    st.query_params.pop(ALERT, None)


def list_and_detail(page: PageContext, states: str, scope: str, by_name: Mapping[str, Station]) -> None:
    """Draw the list of alerts at the left and the selected one at the right."""
    now, names = page.now(), {station.id: station.name for station in by_name.values()}
    mutations.show_outcome()
    with page.read() as session:
        station_id = by_name[scope].id if scope in by_name else None
        total, listed_alerts = list_alerts(session, states, station_id, only_line=scope == LINE)
        selected = selected_alert(session, listed_alerts)
        if selected is not None:
            sent = notifications.recent(session, alert_id=selected.id)
            channel_names = {channel.id: channel.name for channel in channels.list_all(session)}
            shown = evidence.read(session, selected, list(names), now, page.time_zone, page.palette)
    if not listed_alerts and selected is None:
        st.info(nothing_listed(states, scope), icon=":material/notifications_off:")
        return
    left, right = st.columns([5, 8], gap="small")
    with left, st.container(key="alerts-list", gap="xsmall"):
        for alert in listed_alerts:
            with st.container(key=f"alert-item-{alert.id}"):
                alert_scope = names.get(alert.station_id or 0, alert_html.LINE)
                is_selected = selected is not None and alert.id == selected.id
                st.html(alert_html.list_item(alert, alert_scope, now, selected=is_selected))
                st.button(f"Show alert {alert.id}", key=f"show-alert-{alert.id}", on_click=select, args=(alert.id,))
        if total > PAGE_SIZE:
            st.pagination(-(-total // PAGE_SIZE), key=PAGE, max_visible_pages=5)
        st.caption(formatting.plural(total, "alert"))
    if selected is None:
        return
    with right, st.container(border=True, key="card-alert"):
        station = names.get(selected.station_id or 0)
        st.html(alert_html.title(selected, station or alert_html.LINE))
        acknowledge_or_resolve(page, selected)
        chart(shown)
        last_flagged(page, selected)
        st.html(
            elements.heading("Timeline", f"alert {selected.id}")
            + alert_html.timeline(selected, sent, channel_names, page.time_zone)
        )
        if station is not None:
            st.page_link(
                page.pages["station"],
                label=f"Open {station}",
                query_params={"station": station},
                icon=":material/query_stats:",
            )


def list_alerts(session: Session, states: str, station_id: int | None, *, only_line: bool) -> tuple[int, list[Alert]]:
    """Return the number of alerts that match, and those of the current page; unresolved ones are sorted by urgency."""
    if states == OPEN:
        unresolved = alert_html.by_urgency(alerts.unresolved(session, station_id))
        return page_of([alert for alert in unresolved if not only_line or alert.station_id is None])
    if only_line:
        newest = alerts.recent(session, states=FILTERS[states], limit=MAX_LINE_ALERTS)
        return page_of([alert for alert in newest if alert.station_id is None])
    total = alerts.count(session, station_id, states=FILTERS[states])
    offset = (page_number(total) - 1) * PAGE_SIZE
    return total, alerts.recent(session, station_id, states=FILTERS[states], limit=PAGE_SIZE, offset=offset)


def page_of(matching: list[Alert]) -> tuple[int, list[Alert]]:
    """Return the number of alerts, and those of the current page."""
    offset = (page_number(len(matching)) - 1) * PAGE_SIZE
    return len(matching), matching[offset : offset + PAGE_SIZE]


def page_number(total: int) -> int:
    """Return the current page of the list, from 1, or the last one if fewer exist."""
    return min(int(st.session_state.get(PAGE, 1)), max(1, -(-total // PAGE_SIZE)))


def selected_alert(session: Session, listed_alerts: Sequence[Alert]) -> Alert | None:
    """Return the alert that the address names, on this page of the list or not, else the first of the list."""
    named = st.query_params.get(ALERT, "")
    if named.isdecimal() and len(named) < 10:
        try:
            return alerts.get(session, int(named))
        except NotFound:
            pass  # an old link: the first alert of the list is shown
    return listed_alerts[0] if listed_alerts else None


def select(alert_id: int) -> None:
    """Name an alert in the address."""
    st.query_params[ALERT] = str(alert_id)


def nothing_listed(states: str, scope: str) -> str:
    """Return why the list is empty."""
    scope_text = "" if scope == ALL_STATIONS else f" for {'the line' if scope == LINE else scope}"
    if states == OPEN:
        return f"There is no open alert{scope_text}. The rules are checked while a scorer or `andon alerts watch` runs."
    return f"There is no alert{scope_text} so far."


def acknowledge_or_resolve(page: PageContext, alert: Alert) -> None:
    """Draw the buttons that acknowledge and resolve an alert, with a note."""
    if alert.state == "resolved":
        return
    may_resolve = page.is_allowed("alert.resolve")
    if not page.is_allowed("alert.acknowledge"):
        st.caption("Inspectors can acknowledge alerts; engineers can also resolve them.")
        return
    note_key = f"note-{alert.id}"
    with st.container(horizontal=True, vertical_alignment="bottom", key="alert-actions"):
        st.text_input("Note", key=note_key, placeholder="cause, or what is being done", max_chars=500)
        if alert.state == "opened":
            st.button(
                "Acknowledge",
                type="primary",
                icon=":material/visibility:",
                key="acknowledge",
                on_click=acknowledge,
                args=(page, alert.id, note_key),
            )
        st.button(
            "Resolve",
            icon=":material/check:",
            key="resolve",
            disabled=not may_resolve,
            help="Closes the alert now. An alert closes by itself when its condition is no longer true."
            if may_resolve
            else "Only an engineer or an admin can resolve an alert.",
            on_click=resolve,
            args=(page, alert.id, note_key),
        )


def acknowledge(page: PageContext, alert_id: int, note_key: str) -> None:
    """Acknowledge an alert with the note that was typed."""
    note = str(st.session_state.get(note_key, ""))
    mutations.apply(
        page,
        lambda session, actor: alert_actions.acknowledge(session, actor, alert_id, page.now(), note),
        "The alert is acknowledged.",
    )


def resolve(page: PageContext, alert_id: int, note_key: str) -> None:
    """Resolve an alert with the note that was typed, and keep showing it, though it leaves the list of open ones."""
    note = str(st.session_state.get(note_key, ""))
    select(alert_id)
    mutations.apply(
        page,
        lambda session, actor: alert_actions.resolve(session, actor, alert_id, page.now(), note),
        "The alert is resolved.",
    )


def last_flagged(page: PageContext, alert: Alert) -> None:
    """Draw the flagged frame of the station that came last before the alert opened, with its defect outlined."""
    if alert.station_id is None or alert.rule not in evidence.SCORE_RULES:
        return
    with page.read() as session:
        until = alert.opened_at + timedelta(seconds=1)
        flagged = verdicts.recent(session, alert.station_id, until=until, decision="flag", limit=1)
    if not flagged:
        return
    (frame,) = flagged
    thumbnail = page.thumbnail(frame.image_reference, 640, 480, frame.station_id)
    if thumbnail is None:
        return
    captured = formatting.clock(frame.captured_at, page.now(), page.time_zone)
    st.html(
        elements.heading("Last flagged frame", ", ".join(text for text in (captured, where(frame.regions)) if text))
    )
    with st.container(key="alert-frame"):
        outlined_image(thumbnail, frame.regions, f"alert-{frame.frame_id}", "Last flagged frame before the alert")
    st.page_link(
        page.pages["review"],
        label="Look at this frame",
        query_params={"mode": "Find a frame", "frame": str(frame.frame_id)},
        icon=":material/frame_inspect:",
    )


def chart(shown: Evidence) -> None:
    """Draw the evidence of an alert, or why it has none."""
    st.html(elements.heading(shown.title))
    if shown.option is None:
        st.caption(shown.description)
    else:
        st.echarts_chart(shown.option, height=260, key="evidence", alt=shown.description)
