"""Alerts: what wants a person now, what it was decided by, and what became of the others."""

from collections.abc import Mapping, Sequence

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations
from dashboard.alerts import alert_html, evidence
from dashboard.alerts.evidence import Evidence
from dashboard.auth import identity
from dashboard.components import elements
from dashboard.settings import channels as channels_panel
from dashboard.settings import mutes as mutes_panel
from storage.actions import alerts as actions
from storage.alerts import alerts, channels, mutes, notifications
from storage.alerts.alerts import Alert, AlertState
from storage.errors import NotFound
from storage.line import stations
from storage.line.stations import Station

PAGE_SIZE = 12
ALERT, PAGE = "alert", "alerts_page"
EVERYWHERE, LINE = "All stations", "The line itself"
SHOW: Mapping[str, Sequence[AlertState]] = {"Open": ("opened", "acknowledged"), "Resolved": ("resolved",), "All": ()}
LOOK_EVERY_S = 4.0
MOST_OF_LINE = 1000  # newest alerts that those of the line are looked for among


def alerts_page() -> None:
    st.title("Alerts")
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
        muted = mutes.in_force(session, context.now())
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="choices"):
        show = st.segmented_control(
            "Show",
            list(SHOW),
            default="Open",
            required=True,
            key="alerts",
            bind="query-params",
            label_visibility="collapsed",
            on_change=turn_back,
        )
        where = st.selectbox(
            "Station",
            [EVERYWHERE, LINE, *places],
            key="of",
            bind="query-params",
            label_visibility="collapsed",
            width=260,
            on_change=turn_back,
        )
    mutations.say_what_came_of_it()
    mutes_panel.muted_now(places, muted)
    context.live(desk_of_alerts, LOOK_EVERY_S, show or "Open", where or EVERYWHERE, places)
    if identity.may("alert.mute") and places:
        with st.expander("Mute a station while it is worked on", icon=":material/notifications_paused:"):
            mutes_panel.mute_a_station(list(places))
    if identity.may("channel.test"):
        with st.expander("Who is told", icon=":material/send:"):
            channels_panel.listed()


def turn_back() -> None:
    st.session_state.pop(PAGE, None)
    st.query_params.pop(ALERT, None)


def desk_of_alerts(show: str, where: str, places: Mapping[str, Station]) -> None:
    """The list at the left, the chosen alert at the right."""
    now, names = context.now(), {place.id: place.name for place in places.values()}
    mutations.say_what_came_of_it()
    with context.reading() as session:
        total, found = listed(session, show, places[where].id if where in places else None, where == LINE)
        chosen = the_chosen(session, found)
        if chosen is not None:
            told = notifications.recent(session, alert_id=chosen.id)
            told_on = {one.id: one.name for one in channels.list_all(session)}
            shown = evidence.read(session, chosen, list(names), now, context.zone(), context.colours())
    if not found and chosen is None:
        st.success(none_shown(show, where), icon=":material/notifications_off:")
        return
    left, right = st.columns([5, 8], gap="small")
    with left, st.container(key="alerts-list", gap="xsmall"):
        for alert in found:
            with st.container(key=f"alert-item-{alert.id}"):
                place = names.get(alert.station_id or 0, alert_html.LINE)
                st.html(alert_html.item(alert, place, now, chosen is not None and alert.id == chosen.id))
                st.button(f"Look at alert {alert.id}", key=f"look-{alert.id}", on_click=choose, args=(alert.id,))
        if total > PAGE_SIZE:
            st.pagination(-(-total // PAGE_SIZE), key=PAGE, max_visible_pages=5)
        st.caption(formatting.plural(total, "alert"))
    if chosen is not None:
        with right, st.container(border=True, key="card-alert"):
            place = names.get(chosen.station_id or 0, alert_html.LINE)
            st.html(alert_html.head(chosen, place))
            settle(chosen)
            picture(shown)
            st.html(
                elements.heading("Episode", f"alert {chosen.id}")
                + alert_html.timeline(chosen, told, told_on, context.zone())
            )
            if chosen.station_id is not None and place in places:
                st.page_link(
                    "../station/page.py",
                    label=f"Open {place}",
                    query_params={"station": place},
                    icon=":material/query_stats:",
                )


def listed(session: Session, show: str, station_id: int | None, of_line: bool) -> tuple[int, list[Alert]]:
    """How many there are, and one page of them; those not resolved are few, and are sorted by what wants a person."""
    if show == "Open":
        found = alert_html.in_order(alerts.unresolved(session, station_id))
        found = [alert for alert in found if alert.station_id is None] if of_line else found
        return len(found), found[(page(len(found)) - 1) * PAGE_SIZE :][:PAGE_SIZE]
    states = SHOW[show]
    if of_line:
        of_it = [
            alert for alert in alerts.recent(session, states=states, limit=MOST_OF_LINE) if alert.station_id is None
        ]
        return len(of_it), of_it[(page(len(of_it)) - 1) * PAGE_SIZE :][:PAGE_SIZE]
    total = alerts.count(session, station_id, states=states)
    return total, alerts.recent(
        session, station_id, states=states, limit=PAGE_SIZE, offset=(page(total) - 1) * PAGE_SIZE
    )


def page(total: int) -> int:
    return min(int(st.session_state.get(PAGE, 1)), max(1, -(-total // PAGE_SIZE)))


def the_chosen(session: Session, found: Sequence[Alert]) -> Alert | None:
    """The one that the address names, wherever it is; else the first of the list."""
    named = st.query_params.get(ALERT, "")
    if named.isdecimal() and len(named) < 10:
        known = [alert for alert in found if alert.id == int(named)]
        try:
            return known[0] if known else alerts.get(session, int(named))
        except NotFound:
            pass  # an old link: the first one is shown
    return found[0] if found else None


def choose(alert_id: int) -> None:
    st.query_params[ALERT] = str(alert_id)


def none_shown(show: str, where: str) -> str:
    at = "" if where == EVERYWHERE else f" for {'the line' if where == LINE else where}"
    return f"No alert is open{at}." if show == "Open" else f"There is no alert{at} so far."


def settle(alert: Alert) -> None:
    """Acknowledge or resolve, with a note."""
    if alert.state == "resolved":
        return
    may_acknowledge, may_resolve = identity.may("alert.acknowledge"), identity.may("alert.resolve")
    if not may_acknowledge:
        st.caption("Inspectors acknowledge alerts; engineers resolve them by hand.")
        return
    key = f"note-{alert.id}"
    with st.container(horizontal=True, vertical_alignment="bottom", key="settle"):
        st.text_input("Note", key=key, placeholder="what you found or do about it", max_chars=500)
        if alert.state == "opened":
            st.button(
                "Acknowledge",
                type="primary",
                icon=":material/visibility:",
                key="acknowledge",
                on_click=acknowledge,
                args=(alert.id, key),
            )
        st.button(
            "Resolve",
            icon=":material/check:",
            key="resolve",
            disabled=not may_resolve,
            help="Ends the episode now; an alert whose condition goes away ends by itself."
            if may_resolve
            else "For an engineer or admin.",
            on_click=resolve,
            args=(alert.id, key),
        )


def acknowledge(alert_id: int, key: str) -> None:
    note = str(st.session_state.get(key, ""))
    mutations.act(
        lambda session, who: actions.acknowledge(session, who, alert_id, context.now(), note),
        "Acknowledged: others see that you see to it.",
    )


def resolve(alert_id: int, key: str) -> None:
    note = str(st.session_state.get(key, ""))
    choose(alert_id)  # it leaves the list of open ones, and stays in sight
    mutations.act(lambda session, who: actions.resolve(session, who, alert_id, context.now(), note), "Resolved.")


def picture(shown: Evidence) -> None:
    st.html(elements.heading(shown.title))
    if shown.option is None:
        st.caption(shown.says)
    else:
        st.echarts_chart(shown.option, height=260, key="evidence", alt=shown.says)


alerts_page()
