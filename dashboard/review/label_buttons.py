"""The buttons of the review page with their keys: labels, defect types, next and undo.

The key of a button holds the frame and its newest review, so that a press that arrives late applies to the frame that
the person saw, not to the one that is on the screen by then.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

import streamlit as st

from dashboard.context import PageContext
from dashboard.review import review_html, review_session
from dashboard.review.labelling import ShownFrame
from storage.review.labels import Label
from storage.review.reviews import Review

ANOTHER_TYPE = "another_type"


def label_buttons(
    page: PageContext, shown: ShownFrame, decision: str, undoable: Sequence[Review], *, queued: bool
) -> None:
    """Draw the labels for one frame, and the buttons next and undo; a frame that was searched can't be skipped."""
    frames, allowed = [shown], page.is_allowed("review.label")
    shown_key = f"{shown.frame_id}-{shown.last_review_id}"
    good = review_html.label_style("false_alarm", decision).text
    with st.container(horizontal=True, gap="xsmall", key="labels"):
        label_button(page, "Defect", "D", f"defect-{shown_key}", frames, "defect", enabled=allowed)
        label_button(page, good, "F", f"false_alarm-{shown_key}", frames, "false_alarm", enabled=allowed)
        label_button(page, "Unsure", "U", f"unsure-{shown_key}", frames, "unsure", enabled=allowed)
        st.button(
            "Good, add to normal set",
            key=f"label-propose-{shown_key}",
            icon=":material/add_photo_alternate:",
            shortcut="G",
            disabled=decision == "bad_picture" or not (allowed and page.is_allowed("normal_set.propose")),
            help=f"Labels the frame like F ({good.lower()}), and proposes its image for the next normal set.",
            on_click=review_session.label_and_propose,
            args=(page, frames),
        )
        if queued:
            next_button([shown.frame_id])
        undo_button(page, undoable)
        if queued:  # a button has one shortcut, so an invisible one adds the arrow key
            st.button(
                "Next",
                key=f"arrow-{shown.frame_id}",
                shortcut="Right",
                on_click=review_session.skip,
                args=([shown.frame_id],),
            )


def label_button(
    page: PageContext,
    text: str,
    shortcut: str,
    key: str,
    frames: Sequence[ShownFrame],
    label: Label,
    *,
    enabled: bool,
    on_click: Callable[[PageContext, Sequence[ShownFrame], Label], None] = review_session.label_frames,
) -> None:
    """Draw the button of one label for frames."""
    st.button(
        text,
        key=f"label-{key}",
        icon=f":material/{review_html.LABEL_STYLES[label].symbol}:",
        shortcut=shortcut,
        disabled=not enabled,
        on_click=on_click,
        args=(page, frames, label),
    )


def next_button(frame_ids: Sequence[UUID]) -> None:
    """Draw the button that skips frames."""
    st.button(
        "Next",
        key=f"next-{frame_ids[0]}",
        icon=":material/skip_next:",
        shortcut="N",
        on_click=review_session.skip,
        args=(frame_ids,),
    )


def undo_button(page: PageContext, undoable: Sequence[Review]) -> None:
    """Draw the button that undoes the person's last labels; two presses undo them once."""
    ids = [review.id for review in undoable]
    review_session.offer_undo(ids)
    st.button(
        "Undo",
        key=f"undo-{ids[0] if ids else 0}",
        icon=":material/undo:",
        shortcut="Z",
        disabled=not ids or not page.is_allowed("review.undo"),
        on_click=review_session.undo_offered,
        args=(page, ids),
    )


def defect_types(page: PageContext, shown: ShownFrame, station_id: int, types: Sequence[str]) -> None:
    """Draw the defect types with the keys 1 to 9, and a field for another one."""
    allowed, marked = page.is_allowed("review.label"), review_session.marked_types(shown.frame_id)
    with st.container(horizontal=True, gap="xsmall", key="types", vertical_alignment="center"):
        for number, name in enumerate(types, start=1):
            st.button(
                name,
                key=f"type-{number}-{shown.frame_id}-{shown.last_review_id}",
                shortcut=str(number),
                type="primary" if name in marked else "secondary",
                disabled=not allowed,
                on_click=review_session.toggle_type,
                args=(page, shown.frame_id, name),
            )
        st.text_input(
            "Another type",
            key=ANOTHER_TYPE,
            placeholder="another type",
            max_chars=64,
            label_visibility="collapsed",
            width=130,
            disabled=not allowed,
            on_change=review_session.add_type,
            args=(page, station_id, shown.frame_id, ANOTHER_TYPE),
        )
