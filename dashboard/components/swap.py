"""A part of a page that the browser swaps as a whole: nothing of the next content is seen before all of it is there.

Streamlit shows each element as soon as it arrives. Where a person answers what they see, the picture of one frame above
the buttons of another is a wrong answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.html import render

SWAPPED = "swapped"


@contextmanager
def swapped_at_once(name: str, content: str) -> Iterator[None]:
    """Draw what the block draws into one of two slots, and show it, in place of the other, when the block has ended.

    The style sheet hides both slots, but the one that a single element names, which is drawn last.

    Args:
        name: The name of the part, the same in each run.
        content: What is drawn. The same content is drawn again in place; other content goes to the hidden slot.
    """
    state = f"{SWAPPED}-{name}"
    seen_slot, seen = st.session_state.get(state, (1, None))
    slot = seen_slot if content == seen else 1 - seen_slot
    with st.container(key=f"swap-{name}", gap=None):
        slots = [st.container(key=f"slot-{number}-{name}") for number in range(2)]
        with slots[slot]:
            yield
        st.html(render("components/elements.html", "shown_slot", slot))
    st.session_state[state] = (slot, content)  # not before: a run that was interrupted has shown nothing
