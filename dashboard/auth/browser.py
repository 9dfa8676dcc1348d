"""Which browser a page is open in: a random id in a cookie, so that two browsers of one person are told apart.

A tab opened beside another and a reloaded page are the same browser. The id grants nothing; `login_handover` has the
cookie that does.
"""

import re
import secrets

import streamlit as st

VISIT = "browser_of_visit"
ID_BYTES = 6
_ID = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}")


def cookie_name(port: int) -> str:
    """Return the cookie's name; browsers share cookies between all ports of a host, so each dashboard has its own."""
    return f"andon_browser_{port}"


def new_id() -> str:
    """Return a new random id of twelve hexadecimal digits."""
    return secrets.token_hex(ID_BYTES)


def browser_id(port: int) -> str:
    """Return the id in the cookie that the browser sent; without a valid one, an id that lasts for this visit."""
    sent = st.context.cookies.get(cookie_name(port))
    if isinstance(sent, str) and _ID.fullmatch(sent):
        return sent
    visit: str = st.session_state.setdefault(VISIT, new_id())
    return visit
