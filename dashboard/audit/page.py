"""The audit log page: every change with who, when, before, after and why; filtered and exported."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

import streamlit as st

from dashboard import csv_export, formatting
from dashboard.components import elements
from dashboard.context import PageContext
from storage.auth import audit_log, rights, users
from storage.auth.actors import SINGLE_USER
from storage.auth.audit_log import AuditEntry, AuditFilter
from storage.line import stations

PAGE_SIZE = 50
MAX_EXPORTED = 100_000
PAGE_STARTS = "audit_page_starts"  # the last entry of each earlier page, so that no query counts off pages
RANGES: Mapping[str, timedelta | None] = {
    "Today": timedelta(0),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
    "1 year": timedelta(days=365),
    "All": None,
}
DEFAULT_RANGE = "30 d"


def audit_page(page: PageContext) -> None:
    """Draw the filters, a page of entries, and the selected entry in full."""
    st.title("Audit log")
    chosen = choose_filter(page)
    starts: list[AuditEntry] = st.session_state.setdefault(PAGE_STARTS, [])
    with page.read() as session:
        after = starts[-1] if starts else None
        entries = audit_log.list_entries(session, chosen, after=after, limit=PAGE_SIZE + 1)
    if not entries:
        st.info("No entry matches the filter." if chosen != AuditFilter() else "Nothing was changed so far.")
        return
    selected = table(page, entries[:PAGE_SIZE])
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="audit-foot"
    ):
        with st.container(horizontal=True, width="content"):
            st.button("Newer", icon=":material/chevron_left:", disabled=not starts, on_click=show_newer)
            st.button(
                "Older",
                icon=":material/chevron_right:",
                disabled=len(entries) <= PAGE_SIZE,
                on_click=show_older,
                args=(entries[min(PAGE_SIZE, len(entries)) - 1],),
            )
        st.download_button(
            "Export as CSV",
            data=lambda: exported(page, chosen),
            file_name=f"andon-audit-{page.now():%Y-%m-%d}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="audit-export",
        )
    if selected is not None:
        detail(selected)


def choose_filter(page: PageContext) -> AuditFilter:
    """Draw the filters and return them; a change of one returns to the newest entry."""
    with page.read() as session:
        people = [SINGLE_USER, *(user.name for user in users.list_all(session))]
        station_names = [station.name for station in stations.list_all(session)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="audit-filters"):
        range_name = st.segmented_control(
            "Time",
            list(RANGES),
            default=DEFAULT_RANGE,
            required=True,
            key="time",
            bind="query-params",
            on_change=show_newest,
        )
        actor = st.selectbox(
            "Person",
            people,
            index=None,
            placeholder="any",
            key="person",
            accept_new_options=True,
            width=170,
            on_change=show_newest,
        )
        action = st.selectbox(
            "Action", rights.ACTIONS, index=None, placeholder="any", key="action", width=190, on_change=show_newest
        )
        station = st.selectbox(
            "Station",
            station_names,
            index=None,
            placeholder="any",
            key="audit_station",
            accept_new_options=True,
            width=170,
            on_change=show_newest,
        )
        text = st.text_input("Contains", key="contains", placeholder="text", width=170, on_change=show_newest)
    length = RANGES[range_name or DEFAULT_RANGE]
    since = None if length is None else page.start_of_day(page.now() - length)
    return AuditFilter(since=since, actor=actor, action=action, station=station, text=text or None)


def show_newest() -> None:
    """Return to the first page."""
    st.session_state[PAGE_STARTS] = []


def show_newer() -> None:
    """Go to the page with newer entries."""
    st.session_state[PAGE_STARTS].pop()


def show_older(last: AuditEntry) -> None:
    """Go to the page after this entry."""
    st.session_state[PAGE_STARTS].append(last)


def table(page: PageContext, entries: list[AuditEntry]) -> AuditEntry | None:
    """Draw entries as a table and return the selected one, or None."""
    rows = [
        {
            "Time": formatting.date_and_time(entry.at, page.time_zone),
            "Person": entry.actor,
            "Role": entry.role,
            "Action": entry.action,
            "Station": entry.station or "",
            "Subject": entry.subject,
            "Reason": entry.reason,
        }
        for entry in entries
    ]
    event = st.dataframe(
        rows,
        key=f"audit_table_{entries[0].id}",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=460,
        column_config={
            "Role": st.column_config.TextColumn(width="small"),
            "Subject": st.column_config.TextColumn(width="medium"),
            "Reason": st.column_config.TextColumn(width="medium"),
        },
        alt="Changes, newest first; select one to see the values before and after",
    )
    selected = event.selection.rows
    return entries[selected[0]] if selected and selected[0] < len(entries) else None


def detail(entry: AuditEntry) -> None:
    """Draw the values before and after a change."""
    with st.container(border=True, key="card-entry"):
        st.html(elements.heading(f"Entry {entry.id}: {entry.action}", entry.subject))
        left, right = st.columns(2)
        for column, name, value in ((left, "Before", entry.before), (right, "After", entry.after)):
            with column:
                st.caption(name)
                st.code(indented_json(value), language="json", wrap_lines=True)


def indented_json(value: Any) -> str:
    """Format a value as JSON, and None as a dash."""
    return "–" if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def exported(page: PageContext, chosen: AuditFilter) -> bytes:
    """Return the entries that match as CSV."""
    with page.read() as session:
        return csv_export.audit_log(islice(audit_log.export(session, chosen), MAX_EXPORTED))
