"""Who uses a page: by a login token, by a login service, or anybody in single-user mode."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard.app.settings import DashboardSettings
from dashboard.auth.login_handover import HANDOVER, cookie_name, redeeming_script
from storage.auth import identity, logins
from storage.auth.actors import Actor
from storage.database.engine import Database

TOKEN = "login_token"  # noqa: S105 (a name)
CODE = "login_code"


def current_actor(database: Database, settings: DashboardSettings, at: datetime) -> Actor | None:
    """Return who uses this page, in their role at this moment, or None where somebody has to log in."""
    with database.read() as session:
        actor = identity.actor_of_token(session, login_token(settings), at)
        if actor is None and (name := verified_name(dict(st.user), settings.login_claim)):
            actor = identity.actor_of_login_service(session, name)
    return actor


def is_single_user(database: Database) -> bool:
    """Return whether no user exists yet, so that anybody is an admin."""
    with database.read() as session:
        return identity.is_single_user(session)


def login_token(settings: DashboardSettings) -> str | None:
    """Return the token of this visit, or of the cookie that the browser sent."""
    token = st.session_state.get(TOKEN) or st.context.cookies.get(cookie_name(settings.port))
    return token if isinstance(token, str) else None  # Streamlit's test harness has cookies of another type


def verified_name(claims: Mapping[str, Any], claim: str) -> str | None:
    """Return the name in a login service's claim (OIDC), or None without a login.

    An e-mail address counts only if the service says that it has verified it: anybody can enter any address elsewhere.
    """
    if not claims.get("is_logged_in") or (claim == "email" and claims.get("email_verified") not in (True, "true")):
        return None
    name = claims.get(claim)
    return name if isinstance(name, str) and name else None


def log_in(database: Database, name: str, password: str, at: datetime) -> Actor:
    """Check a password and keep the login for this visit and this browser.

    Raises:
        LoginFailed: The name or the password is wrong, or there were too many attempts.
    """
    actor, token = identity.log_in(database, name, password, at, st.context.ip_address or "this machine")
    st.session_state[TOKEN] = token
    st.session_state[CODE] = HANDOVER.put(token, at)
    return actor


def keep_login(database: Database, settings: DashboardSettings, at: datetime) -> None:
    """Put a new login into the browser's cookie, and record that the login is in use."""
    if code := st.session_state.pop(CODE, None):
        st.html(redeeming_script(code), unsafe_allow_javascript=True)
    if token := login_token(settings):
        with database.begin() as session:
            logins.touch(session, token, at)


def log_out(database: Database, settings: DashboardSettings) -> None:
    """Revoke this browser's login, and end the login service's session where one was used."""
    if token := login_token(settings):
        with database.begin() as session:
            logins.revoke(session, token)
    st.session_state.clear()
    if st.user.get("is_logged_in"):
        st.logout()
