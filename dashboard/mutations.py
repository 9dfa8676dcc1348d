"""A person's change from a page: made at the desk in one transaction, and what came of it said once."""

from collections.abc import Callable

import streamlit as st
from sqlalchemy.orm import Session

from alerts.errors import AlertsError
from dashboard import context
from dashboard.auth import identity
from storage.auth.actors import Actor
from storage.errors import StorageError

SAID = "said"


def act(change: Callable[[Session, Actor], object], done: str) -> bool:
    """Make the change as the one who uses this page; keeps `done`, or why it was refused, for `say_what_came_of_it`."""
    try:
        who = identity.known()
        if who is None:
            refuse("You are not logged in any more: log in, then do it again.")
            return False
        with context.changing() as session:
            change(session, who)
    except (StorageError, AlertsError) as error:
        refuse(str(error))
        return False
    report(done)
    return True


def report(sentence: str) -> None:
    """Keep what was done, for `say_what_came_of_it`."""
    st.session_state[SAID] = (True, sentence)


def refuse(sentence: str) -> None:
    """Keep why nothing was changed, for `say_what_came_of_it`."""
    st.session_state[SAID] = (False, sentence)


def say_what_came_of_it() -> None:
    """What the last change came to, once: a short notice, or a refusal that stays until the next look."""
    went_well, sentence = st.session_state.pop(SAID, (True, ""))
    if not sentence:
        return
    if went_well:
        st.toast(sentence, icon=":material/check_circle:")
    else:
        st.error(sentence, icon=":material/block:")
