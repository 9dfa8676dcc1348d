"""Users and roles; adding the first user, an admin, ends single-user mode."""

from collections.abc import Sequence

import streamlit as st

from dashboard import formatting, mutations
from dashboard.auth import account, identity
from dashboard.components import elements
from dashboard.context import PageContext
from storage.actions import users as user_actions
from storage.auth import users
from storage.auth.actors import Role
from storage.auth.passwords import MIN_LENGTH
from storage.auth.users import User
from storage.errors import LoginFailed

ROLE_DESCRIPTIONS = {
    Role.VIEWER: "sees every page",
    Role.INSPECTOR: "labels frames, proposes good parts, acknowledges alerts",
    Role.ENGINEER: "changes normal sets, thresholds, stations, alert rules, mutes",
    Role.ADMIN: "changes users and channels",
}


def panel(page: PageContext) -> None:
    """Draw the users, and for an admin the forms that add and change them."""
    with page.read() as session:
        all_users = users.list_all(session)
    if not all_users:
        st.warning(account.SINGLE_USER_WARNING, icon=":material/lock_open:")
    roles = "; ".join(f"**{role}** {description}" for role, description in ROLE_DESCRIPTIONS.items())
    st.markdown(f"{roles}. Each role includes the ones before it.")
    if all_users:
        table(page, all_users)
    if page.is_allowed("user.add"):
        left, right = st.columns(2, gap="small")
        with left, st.container(border=True, key="card-add-user"):
            add_form(page, is_first=not all_users)
        if all_users:
            with right, st.container(border=True, key="card-edit-user"):
                edit_form(page, all_users)


def table(page: PageContext, all_users: Sequence[User]) -> None:
    """Draw the users as a table."""
    now = page.now()
    rows = [
        {
            "Name": user.name,
            "Role": str(user.role),
            "Login": "password" if user.has_password else "login service",
            "Added": formatting.ago(user.created_at, now),
            "Disabled": formatting.ago(user.disabled_at, now) if user.disabled_at else "",
        }
        for user in all_users
    ]
    st.dataframe(rows, hide_index=True, key="users_table", alt="Users by name")


def add_form(page: PageContext, *, is_first: bool) -> None:
    """Draw the form that adds a user."""
    st.html(elements.heading("Add the first user" if is_first else "Add a user"))
    with st.form("add-user", border=False, clear_on_submit=True):
        name = st.text_input(
            "Name", placeholder="m.weber, or the e-mail address that the login service gives", max_chars=64
        )
        roles = [Role.ADMIN] if is_first else list(Role)
        role = st.selectbox("Role", roles, format_func=str)
        password = st.text_input(
            "Password",
            type="password",
            autocomplete="new-password",
            help=f"At least {MIN_LENGTH} characters; empty for somebody who logs in by the login service.",
        )
        submitted = st.form_submit_button("Add user", icon=":material/person_add:", type="primary")
    if submitted:
        add(page, name.strip(), role, password, is_first=is_first)
        st.rerun()


def add(page: PageContext, name: str, role: Role, password: str, *, is_first: bool) -> None:
    """Add a user; whoever adds the first one is logged in as that user."""
    if is_first and not password and not page.settings.login_file:
        mutations.refuse("The first user needs a password, or nobody could log in any more.")
        return
    is_added = mutations.apply(
        page,
        lambda session, actor: user_actions.add(session, actor, name, role, password or None, page.now()),
        f"{name} was added.",
    )
    if is_added and is_first and password:
        try:
            identity.log_in(page.database, name, password, page.now())
        except LoginFailed as error:
            mutations.refuse(str(error))


def edit_form(page: PageContext, all_users: Sequence[User]) -> None:
    """Draw the forms that change the role and the password of a user, and disable and enable them."""
    st.html(elements.heading("Change a user"))
    by_name = {user.name: user for user in all_users}
    user = by_name[st.selectbox("User", list(by_name), key="user-chosen")]
    roles = list(Role)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        role = st.selectbox(
            "Role", roles, index=roles.index(user.role), format_func=str, key=f"role-{user.id}-{user.role}"
        )
        if st.button("Set role", key="set-role", disabled=role == user.role):
            mutations.apply(
                page,
                lambda session, actor: user_actions.set_role(session, actor, user.name, role, page.now()),
                f"{user.name} is {role} now.",
            )
            st.rerun()
    with (
        st.form("set-password", border=False, clear_on_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        password = st.text_input("New password", type="password", autocomplete="new-password")
        if st.form_submit_button("Set password"):
            mutations.apply(
                page,
                lambda session, actor: user_actions.set_password(session, actor, user.name, password, page.now()),
                f"{user.name} has a new password and was logged out everywhere.",
            )
            st.rerun()
    if user.disabled_at is None:
        st.button("Disable user", key="disable", on_click=disable, args=(page, user.name))
    else:
        st.button("Enable user", key="enable", on_click=enable, args=(page, user.name))


def disable(page: PageContext, name: str) -> None:
    """Disable a user, who is logged out and can't log in any more."""
    mutations.apply(
        page,
        lambda session, actor: user_actions.disable(session, actor, name, page.now()),
        f"{name} was disabled and logged out.",
    )


def enable(page: PageContext, name: str) -> None:
    """Let a disabled user log in again."""
    mutations.apply(
        page,
        lambda session, actor: user_actions.enable(session, actor, name, page.now()),
        f"{name} can log in again.",
    )
