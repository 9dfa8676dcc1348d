"""Audit: every change with who, when, from what to what and why; to be filtered and taken away."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

import streamlit as st

from dashboard import context, csv_export, formatting
from dashboard.components import elements
from storage.auth import audit_log, rights, users
from storage.auth.actors import SINGLE_USER
from storage.auth.audit_log import AuditEntry, AuditFilter
from storage.line import stations

PAGE_SIZE = 50
MOST_EXPORTED = 100_000
BEGINNINGS = "audit_beginnings"  # the last entry of each page before this one, so that no page is counted off
RANGES: Mapping[str, timedelta | None] = {
    "Today": timedelta(0),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
    "1 year": timedelta(days=365),
    "All": None,
}
DEFAULT = "30 d"


def audit_page() -> None:
    st.title("Audit")
    which = asked_for()
    pages: list[AuditEntry] = st.session_state.setdefault(BEGINNINGS, [])
    with context.reading() as session:
        found = audit_log.list_entries(session, which, after=pages[-1] if pages else None, limit=PAGE_SIZE + 1)
    if not found:
        st.info("Nothing was changed that fits." if which != AuditFilter() else "Nothing was changed so far.")
        return
    chosen = listed(found[:PAGE_SIZE])
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="audit-foot"
    ):
        with st.container(horizontal=True, width="content"):
            st.button("Newer", icon=":material/chevron_left:", disabled=not pages, on_click=newer)
            st.button(
                "Older",
                icon=":material/chevron_right:",
                disabled=len(found) <= PAGE_SIZE,
                on_click=older,
                args=(found[min(PAGE_SIZE, len(found)) - 1],),
            )
        take_away(which)
    if chosen is not None:
        detail(chosen)


def asked_for() -> AuditFilter:
    """The filters on top; a change of one begins at the newest entry again."""
    with context.reading() as session:
        people = [SINGLE_USER, *(user.name for user in users.list_all(session))]
        places = [place.name for place in stations.list_all(session)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="audit-filters"):
        span = st.segmented_control(
            "Time", list(RANGES), default=DEFAULT, required=True, key="time", bind="query-params", on_change=newest
        )
        who = st.selectbox(
            "Who",
            people,
            index=None,
            placeholder="anybody",
            key="who",
            accept_new_options=True,
            width=170,
            on_change=newest,
        )
        action = st.selectbox(
            "What", rights.ACTIONS, index=None, placeholder="anything", key="what", width=190, on_change=newest
        )
        where = st.selectbox(
            "Station",
            places,
            index=None,
            placeholder="anywhere",
            key="where",
            accept_new_options=True,
            width=170,
            on_change=newest,
        )
        text = st.text_input("Contains", key="contains", placeholder="a word", width=170, on_change=newest)
    length = RANGES[span or DEFAULT]
    since = None if length is None else context.midnight(context.now() - length)
    return AuditFilter(since=since, actor=who, action=action, station=where, text=text or None)


def newest() -> None:
    st.session_state[BEGINNINGS] = []


def newer() -> None:
    st.session_state[BEGINNINGS].pop()


def older(last: AuditEntry) -> None:
    st.session_state[BEGINNINGS].append(last)


def listed(found: list[AuditEntry]) -> AuditEntry | None:
    """The table; returns the entry that is looked at."""
    zone = context.zone()
    rows = [
        {
            "When": formatting.moment(entry.at, zone)[:-4],
            "Who": entry.actor,
            "Role": entry.role,
            "What": entry.action,
            "Station": entry.station or "",
            "Subject": entry.subject,
            "Reason": entry.reason,
        }
        for entry in found
    ]
    picked = st.dataframe(
        rows,
        key=f"audit_table_{found[0].id}",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=460,
        column_config={
            "Role": st.column_config.TextColumn(width="small"),
            "Subject": st.column_config.TextColumn(width="medium"),
            "Reason": st.column_config.TextColumn(width="medium"),
        },
        alt="Changes, newest first; choose one to see what was before and after",
    )
    selected = picked.selection.rows
    return found[selected[0]] if selected and selected[0] < len(found) else None


def detail(entry: AuditEntry) -> None:
    with st.container(border=True, key="card-entry"):
        st.html(elements.heading(f"Entry {entry.id}: {entry.action}", entry.subject))
        left, right = st.columns(2)
        for side, name, value in ((left, "Before", entry.before), (right, "After", entry.after)):
            with side:
                st.caption(name)
                st.code(readable(value), language="json", wrap_lines=True)


def readable(value: Any) -> str:
    return "–" if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def take_away(which: AuditFilter) -> None:
    """What fits the filter as CSV, made when it is asked for."""
    st.download_button(
        "Export as CSV",
        data=lambda: exported(which),
        file_name=f"andon-audit-{context.now():%Y-%m-%d}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="audit-export",
    )


def exported(which: AuditFilter) -> bytes:
    with context.reading() as session:
        return csv_export.audit(islice(audit_log.export(session, which), MOST_EXPORTED))


audit_page()
