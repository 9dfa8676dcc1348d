"""The frame around every page: theme, login, navigation, and one sentence when the database is unavailable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import context, resources, theme
from dashboard.add_station.page import add_station_page
from dashboard.alerts.page import alerts_page
from dashboard.audit.page import audit_page
from dashboard.auth import account, identity
from dashboard.auth.browser import browser_id
from dashboard.components.storage_error import show_until_writable
from dashboard.context import PageContext, PageName
from dashboard.dead_letters.page import dead_letters_page
from dashboard.gate.sessions import SESSIONS
from dashboard.normals.page import normals_page
from dashboard.quality.page import quality_page
from dashboard.review.page import review_page
from dashboard.settings.page import settings_page
from dashboard.station.page import station_page
from dashboard.theme import Palette
from dashboard.wall.page import wall_page
from storage.auth.actors import Actor
from storage.errors import StorageError, StorageUnavailable


@dataclass(frozen=True, slots=True)
class PageEntry:
    """A page of the navigation: `name` is its path in the address, `draw` shows it."""

    name: PageName
    title: str
    icon: str
    draw: Callable[[PageContext], None]
    in_menu: bool = True


PAGES = (
    PageEntry("wall", "Live wall", "grid_view", wall_page),
    PageEntry("station", "Station", "query_stats", station_page),
    PageEntry("review", "Review", "rate_review", review_page),
    PageEntry("normals", "Normal sets", "photo_library", normals_page),
    PageEntry("alerts", "Alerts", "notifications", alerts_page),
    PageEntry("quality", "Charts & KPIs", "monitoring", quality_page),
    PageEntry("dead-letters", "Dead letters", "mail_off", dead_letters_page),
    PageEntry("audit", "Audit log", "history", audit_page),
    PageEntry("settings", "Settings", "tune", settings_page),
    PageEntry("add-station", "Add a station", "add_a_photo", add_station_page, in_menu=False),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One run for one person: who it is, or None before the login; and why the storage can't be read, or None."""

    actor: Actor | None
    storage_problem: str | None
    palette: Palette
    pages: Mapping[PageName, StreamlitPage]


def draw() -> None:
    """Draw the frame and, inside it, the page that the address names."""
    actor, problem = current_visitor()
    record_session(actor)
    palette = theme.palette(st.context.theme.type)
    st.html(theme.style_sheet(palette))
    st.logo(str(theme.logo(palette)), size="large")
    pages: dict[PageName, StreamlitPage] = {}
    visit = Visit(actor, problem, palette, pages)
    for entry in PAGES:
        pages[entry.name] = st.Page(
            partial(draw_page, entry, visit),
            title=entry.title,
            icon=f":material/{entry.icon}:",
            url_path=entry.name,
            default=entry is PAGES[0],
            visibility="visible" if entry.in_menu else "hidden",
        )
    has_menu = actor is not None or problem is not None
    selected = st.navigation(list(pages.values()), position="top" if has_menu else "hidden")
    st.set_page_config(page_title=f"{selected.title} · Andon", page_icon=str(theme.ASSETS / "icon.svg"), layout="wide")
    selected.run()


def draw_page(entry: PageEntry, visit: Visit) -> None:
    """Draw one page for a person who is logged in; the login or the storage problem for anybody else."""
    settings = resources.dashboard_settings()
    if visit.storage_problem is not None:
        st.fragment(show_storage_problem, run_every=settings.refresh_every_s)()
    elif visit.actor is None:
        account.login_page(resources.database(), settings, visit.palette)
    else:
        page_context = PageContext(
            settings=settings,
            storage_settings=resources.storage_settings(),
            alerts_settings=resources.alerts_settings(),
            database=resources.database(),
            image_store=resources.image_store(),
            image_limits=resources.image_limits(),
            actor=visit.actor,
            time_zone=browser_time_zone(),
            browser=browser_id(settings.port),
            palette=visit.palette,
            pages=visit.pages,
        )
        account.warn_of_strangers(page_context)
        try:
            identity.keep_login(page_context.database, settings, context.now())
            entry.draw(page_context)
        except StorageUnavailable as error:
            show_until_writable(page_context, error)
        account.account_menu(page_context)


def current_visitor() -> tuple[Actor | None, str | None]:
    """Return who uses the page, None before a login; and why the storage can't be read, None when it can."""
    problem = resources.storage_problem()
    if problem is not None:
        return None, problem
    try:
        settings = resources.dashboard_settings()
        return identity.current_actor(resources.database(), settings, context.now()), None
    except StorageError as error:  # the database became unavailable between the two queries
        return None, str(error)


def record_session(actor: Actor | None) -> None:
    """Tell the server whose session this is: it gives it back, and takes files for it, from that browser only."""
    run = get_script_run_ctx()
    if run is not None:
        token = identity.login_token(resources.dashboard_settings())
        SESSIONS.record(run.session_id, token, logged_in=actor is not None)


def show_storage_problem() -> None:
    """Show why the storage can't be read, and run the page again when it can."""
    problem = resources.storage_problem()
    if problem is None:
        st.rerun()
    st.error(problem, icon=":material/database_off:")


def browser_time_zone() -> tzinfo:
    """Return the browser's time zone, or UTC when it is not given or not known here."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
