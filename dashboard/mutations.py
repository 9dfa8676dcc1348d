"""A person's change from a page: made in one transaction, and its outcome shown once."""

from collections.abc import Callable

import streamlit as st
from sqlalchemy.orm import Session

from alerts.errors import AlertsError
from dashboard import formatting
from dashboard.auth import identity
from dashboard.context import PageContext
from storage.auth.actors import Actor
from storage.errors import StorageError

OUTCOME = "mutation_outcome"


def apply(context: PageContext, change: Callable[[Session, Actor], object], success: str) -> bool:
    """Make a change as the person who uses the page now.

    Args:
        context: The page's context.
        change: Called once with the transaction and the actor; storage checks the actor's permission.
        success: The text that `show_outcome` shows when the change was made; empty shows nothing.

    Returns:
        Whether the change was made; if not, `show_outcome` shows why.
    """
    try:
        actor = identity.current_actor(context.database, context.settings, context.now())
        if actor is None:
            refuse("You are not logged in any more. Log in and try again.")
            return False
        with context.database.begin() as session:
            change(session, actor)
    except (StorageError, AlertsError) as error:
        refuse(str(error))
        return False
    succeed(success)
    return True


def succeed(message: str) -> None:
    """Keep the message of a change that was made, for `show_outcome`."""
    st.session_state[OUTCOME] = (True, message)


def refuse(message: str) -> None:
    """Keep the reason why a change was not made, for `show_outcome`."""
    st.session_state[OUTCOME] = (False, message)


def show_outcome() -> None:
    """Show the outcome of the last change once: a short notice, or an error that stays until the page runs again."""
    succeeded, text = st.session_state.pop(OUTCOME, (True, ""))
    message = formatting.escape_message(text)
    if not message:
        return
    if succeeded:
        st.toast(message, icon=":material/check_circle:")
    else:
        st.error(message, icon=":material/block:")
