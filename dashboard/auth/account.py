"""Who is here, in a corner of every page; and the page that asks for name and password."""

from importlib.util import find_spec

import streamlit as st

from dashboard import context, mutations, theme
from dashboard.auth import identity
from storage.actions import users as actions
from storage.auth.actors import Actor
from storage.errors import LoginFailed, StorageError

ANYBODY = "Single-user mode: anyone who reaches this page is an admin; add a user to close it."
STILL_THERE_EVERY_S = 30.0


def corner(who: Actor, is_single_user: bool) -> None:
    """The person's name with what they can do about it, beside the menu."""
    context.live(still_there, STILL_THERE_EVERY_S, who)
    with st.container(key="account", width="content"):
        if is_single_user:
            with st.popover("Single-user mode", icon=":material/lock_open:", help=ANYBODY):
                st.markdown(ANYBODY)
                st.page_link("../settings/page.py", label="Add a user", icon=":material/person_add:")
            return
        with st.popover(who.name, icon=":material/account_circle:"):
            st.markdown(f"Logged in as **{escaped(who.name)}**, {who.role}.")
            own_password(who)
            st.button("Log out", icon=":material/logout:", key="log-out", on_click=identity.log_out, width="stretch")


def still_there(who: Actor) -> None:
    """Notices that a login ended, or that a role changed, while the page was open."""
    if identity.known() != who:
        st.rerun()


def own_password(who: Actor) -> None:
    with st.expander("Change password"), st.form("own-password", border=False, clear_on_submit=True):
        new = st.text_input("New password", type="password", autocomplete="new-password")
        if st.form_submit_button("Change, and log out everywhere") and mutations.act(
            lambda session, actor: actions.set_password(session, actor, who.name, new, context.now()), "Log in anew."
        ):
            st.rerun()
        mutations.say_what_came_of_it()


def log_in() -> None:
    """The only thing to see for somebody who is not logged in."""
    with st.container(horizontal_alignment="center"), st.container(key="card-log-in", border=True, width=420):
        st.image(str(theme.ASSETS / f"logo-{context.colours().name}.svg"), width=150)
        if context.settings().login_file:
            login_service()
        with st.form("log-in", border=False):
            name = st.text_input("Name", autocomplete="username")
            password = st.text_input("Password", type="password", autocomplete="current-password")
            if st.form_submit_button("Log in", type="primary", width="stretch"):
                try:
                    identity.log_in(name.strip(), password)
                except (LoginFailed, StorageError) as error:
                    st.error(str(error))
                else:
                    st.rerun()


def login_service() -> None:
    """The way in by another service, or what is missing for it."""
    if find_spec("authlib") is None:
        st.warning("A login service is set, but the package Authlib is not installed: pip install Authlib.")
        return
    if st.button("Log in with your organisation", type="primary", width="stretch", key="service"):
        st.login()
    unknown_here()


def unknown_here() -> None:
    """Says so to somebody whom the login service knows and Andon does not."""
    if st.user.get("is_logged_in"):
        named = identity.vouched_for(dict(st.user), context.settings().login_claim)
        st.warning(
            f"The login service says that you are {escaped(named)}; there is no user of that name here. "
            "An admin can add one in Settings."
            if named
            else f"The login service gave no checked {context.settings().login_claim}, so nobody can be told by it."
        )
        st.button("Use another account", on_click=st.logout, width="stretch")


def escaped(text: str) -> str:
    """The text with Markdown's signs made harmless."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+-.!<>|~$:&" else sign for sign in text)
