"""Users and roles; the first user, an admin, closes single-user mode."""

import streamlit as st

from dashboard import context, formatting, mutations
from dashboard.auth import account, identity
from dashboard.components import elements
from storage.actions import users as actions
from storage.auth import users
from storage.auth.actors import Role
from storage.auth.passwords import MIN_LENGTH
from storage.auth.users import User
from storage.errors import LoginFailed

MEANS = {
    Role.VIEWER: "looks",
    Role.INSPECTOR: "reviews frames, picks good parts, acknowledges alerts",
    Role.ENGINEER: "changes normal sets, thresholds, stations, rules, mutes",
    Role.ADMIN: "also users and channels",
}


def panel() -> None:
    with context.reading() as session:
        found = users.list_all(session)
    if not found:
        st.warning(account.ANYBODY, icon=":material/lock_open:")
    st.markdown(
        "; ".join(f"**{role}** {does}" for role, does in MEANS.items()) + ". Each may do what those before may."
    )
    if found:
        table(found)
    if identity.may("user.add"):
        left, right = st.columns(2, gap="small")
        with left, st.container(border=True, key="card-add-user"):
            add(is_first=not found)
        if found:
            with right, st.container(border=True, key="card-edit-user"):
                edit(found)


def table(found: list[User]) -> None:
    now = context.now()
    rows = [
        {
            "Name": user.name,
            "Role": str(user.role),
            "Logs in by": "password" if user.has_password else "login service",
            "Added": formatting.ago(user.created_at, now),
            "Disabled": formatting.ago(user.disabled_at, now) if user.disabled_at else "",
        }
        for user in found
    ]
    st.dataframe(rows, hide_index=True, key="users_table", alt="Users by name")


def add(is_first: bool) -> None:
    st.html(elements.heading("Add the first user" if is_first else "Add a user"))
    with st.form("add-user", border=False, clear_on_submit=True):
        name = st.text_input(
            "Name", placeholder="m.weber, or the e-mail address that the login service says", max_chars=64
        )
        roles = [Role.ADMIN] if is_first else list(Role)
        role = st.selectbox("Role", roles, format_func=str)
        password = st.text_input(
            "Password",
            type="password",
            autocomplete="new-password",
            help=f"{MIN_LENGTH} characters or more; leave it empty for somebody whom the login service vouches for.",
        )
        pressed = st.form_submit_button("Add user", icon=":material/person_add:", type="primary")
    if not pressed:
        return
    if is_first and not password and not context.settings().login_file:
        mutations.refuse("The first user needs a password, or nobody could log in any more.")
    elif (
        mutations.act(
            lambda session, who: actions.add(session, who, name.strip(), role, password or None, context.now()),
            f"{name.strip()} is added.",
        )
        and is_first
        and password
    ):
        stay_in(name.strip(), password)
    st.rerun()


def stay_in(name: str, password: str) -> None:
    """Whoever adds the first user is that user from then on, and need not log in to go on."""
    try:
        identity.log_in(name, password)
    except LoginFailed as error:
        mutations.refuse(str(error))


def edit(found: list[User]) -> None:
    st.html(elements.heading("Change a user"))
    by_name = {user.name: user for user in found}
    chosen = by_name[st.selectbox("User", list(by_name), key="user-chosen")]
    roles = list(Role)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        role = st.selectbox(
            "Role", roles, index=roles.index(chosen.role), format_func=str, key=f"role-{chosen.id}-{chosen.role}"
        )
        if st.button("Set role", key="set-role", disabled=role == chosen.role):
            mutations.act(
                lambda session, who: actions.set_role(session, who, chosen.name, role, context.now()),
                f"{chosen.name} is {role} now.",
            )
            st.rerun()
    with (
        st.form("set-password", border=False, clear_on_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        password = st.text_input("New password", type="password", autocomplete="new-password")
        if st.form_submit_button("Set password"):
            mutations.act(
                lambda session, who: actions.set_password(session, who, chosen.name, password, context.now()),
                f"{chosen.name} has a new password, and is logged out everywhere.",
            )
            st.rerun()
    if chosen.disabled_at is None:
        st.button("Disable: nobody logs in by this name", key="disable", on_click=disable, args=(chosen.name,))
    else:
        st.button("Enable again", key="enable", on_click=enable, args=(chosen.name,))


def disable(name: str) -> None:
    mutations.act(
        lambda session, who: actions.disable(session, who, name, context.now()), f"{name} is disabled and logged out."
    )


def enable(name: str) -> None:
    mutations.act(lambda session, who: actions.enable(session, who, name, context.now()), f"{name} can log in again.")
