"""The account menu in the corner of every page, and the login page."""

from importlib.util import find_spec

import streamlit as st

from dashboard import context, mutations, theme
from dashboard.app.settings import DashboardSettings
from dashboard.auth import identity
from dashboard.context import PageContext, draw_live
from dashboard.formatting import escape_markdown, escape_message
from dashboard.theme import Palette
from foundation.addresses import is_loopback
from storage.actions import users as user_actions
from storage.database.engine import Database
from storage.errors import LoginFailed, StorageError

SINGLE_USER_WARNING = "Single-user mode: anybody who can open this page is an admin. Add a user to require a login."
CHECK_EVERY_S = 30.0


def account_menu(page: PageContext) -> None:
    """Draw the person's name with a menu, beside Streamlit's own menu."""
    draw_live(page, watch_login, CHECK_EVERY_S)
    with st.container(key="account", width="content"):
        if identity.is_single_user(page.database):
            with st.popover("Single-user mode", icon=":material/lock_open:", help=SINGLE_USER_WARNING):
                st.markdown(SINGLE_USER_WARNING)
                st.page_link(page.pages["settings"], label="Add a user", icon=":material/person_add:")
            return
        with st.popover(page.actor.name, icon=":material/account_circle:"):
            st.markdown(f"Logged in as **{escape_markdown(page.actor.name)}**, {page.actor.role}.")
            change_password(page)
            st.button(
                "Log out",
                icon=":material/logout:",
                key="log-out",
                on_click=identity.log_out,
                args=(page.database, page.settings),
                width="stretch",
            )


def warn_of_strangers(page: PageContext) -> None:
    """Say above every page that the network may come in, where the settings allow it and there is no user."""
    if page.settings.allow_anybody and not is_loopback(page.settings.host) and identity.is_single_user(page.database):
        st.warning(
            "Anybody on the network is an admin here: there is no user, and the dashboard was started with "
            "`--allow-anybody`. Add a user on the page Settings to end that.",
            icon=":material/lock_open:",
        )


def watch_login(_: PageContext) -> None:
    """Draw nothing: a live part asks who is there each time, so that a page that is only looked at closes too."""


def change_password(page: PageContext) -> None:
    """Let the person change the own password, which ends all of their logins."""
    with st.expander("Change password"), st.form("own-password", border=False, clear_on_submit=True):
        password = st.text_input("New password", type="password", autocomplete="new-password")
        if st.form_submit_button("Change password and log out everywhere") and mutations.apply(
            page,
            lambda session, actor: user_actions.set_password(session, actor, page.actor.name, password, page.now()),
            "The password was changed. Log in again.",
        ):
            st.rerun()
        mutations.show_outcome()


def login_page(database: Database, settings: DashboardSettings, palette: Palette) -> None:
    """Draw the login, the only page for somebody who is not logged in."""
    with st.container(horizontal_alignment="center"), st.container(key="card-log-in", border=True, width=420):
        st.image(str(theme.logo(palette)), width=150)
        if settings.login_file:
            login_service(settings)
        with st.form("log-in", border=False):
            name = st.text_input("Name", autocomplete="username", max_chars=64)
            password = st.text_input("Password", type="password", autocomplete="current-password", max_chars=256)
            if st.form_submit_button("Log in", type="primary", width="stretch"):
                try:
                    identity.log_in(database, name.strip(), password, context.now())
                except (LoginFailed, StorageError) as error:
                    st.error(escape_message(str(error)))
                else:
                    st.rerun()


def login_service(settings: DashboardSettings) -> None:
    """Draw the login by a login service (OIDC), or the name of the package that it lacks."""
    if find_spec("authlib") is None:
        st.warning("A login service is configured, but the package Authlib is not installed: pip install Authlib.")
        return
    if st.button("Log in with your organisation", type="primary", width="stretch", key="service"):
        st.login()
    if st.user.get("is_logged_in"):
        explain_unknown_user(settings.login_claim)


def explain_unknown_user(claim: str) -> None:
    """Explain to somebody whom the login service knows why Andon does not let them in."""
    name = identity.verified_name(dict(st.user), claim)
    st.warning(
        f"You are logged in to the login service as {escape_markdown(name)}, but Andon has no user of that name. "
        "An admin can add one on the page Settings."
        if name
        else f"The login service gave no verified {claim}, so Andon can't identify you."
    )
    st.button("Use another account", on_click=st.logout, width="stretch")
