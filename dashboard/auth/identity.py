"""Who uses this page: a login's token, another login service's word, or everybody in single-user mode."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import context
from dashboard.auth.login_handover import HANDOVER, asking, cookie_name
from storage.auth import identity, logins, rights
from storage.auth.actors import Actor
from storage.auth.rights import Action

TOKEN = "login_token"  # noqa: S105 (a name)
CODE = "login_code"


def actor() -> Actor:
    """Who uses this page; where nobody is logged in any more, the page runs again and asks."""
    who = known()
    if who is None:
        st.rerun()
    return who


def known() -> Actor | None:
    """Who uses this page, in the role they have now; None where somebody has to log in."""
    with context.reading() as session:
        who = identity.actor_of_token(session, token(), context.now())
        if who is None and (name := vouched_for(dict(st.user), context.settings().login_claim)):
            who = identity.actor_of_login_service(session, name)
    return who


def may(action: Action) -> bool:
    """Whether to let a button be pressed; the desk asks again, and it alone protects anything."""
    who = known()
    return who is not None and rights.is_allowed(who, action)


def is_single_user() -> bool:
    with context.reading() as session:
        return identity.is_single_user(session)


def token() -> str | None:
    """This visit's token, or the one in the cookie that the browser came with."""
    held = st.session_state.get(TOKEN) or st.context.cookies.get(cookie_name(context.settings().port))
    return held if isinstance(held, str) else None  # a test harness has cookies of its own kind


def vouched_for(claims: Mapping[str, Any], claim: str) -> str | None:
    """The name that a login service (OIDC) gives; None for nobody, or an e-mail address that it did not check."""
    if not claims.get("is_logged_in") or (claim == "email" and claims.get("email_verified") is False):
        return None
    name = claims.get(claim)
    return name if isinstance(name, str) and name else None


def log_in(name: str, password: str) -> Actor:
    """Check, and keep the login for this visit and this browser; raises `LoginFailed`."""
    at = context.now()
    who, made = identity.log_in(context.database(), name, password, at)
    st.session_state[TOKEN] = made
    st.session_state[CODE] = HANDOVER.put(made, at)
    return who


def keep() -> None:
    """Bring a new login into the browser's cookie, and note that an old one is used."""
    if code := st.session_state.pop(CODE, None):
        st.html(asking(code), unsafe_allow_javascript=True)
    if held := token():
        with context.changing() as session:
            logins.touch(session, held, context.now())


def log_out() -> None:
    """End this browser's login, and the login service's where that was used."""
    if held := token():
        with context.changing() as session:
            logins.revoke(session, held)
    st.session_state.clear()
    if st.user.get("is_logged_in"):
        st.logout()
