"""Many frames at once: select those that are alike and give all of them one label."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from dashboard.components import image_grid, verdict_html
from dashboard.components.image_grid import CaptionedImage
from dashboard.context import PageContext
from dashboard.review import label_buttons, review_html, review_session
from dashboard.review.labelling import ShownFrame
from storage.line.verdicts import Verdict
from storage.review.labels import Label
from storage.review.reviews import Review

SIZE = 12


def grid(
    page: PageContext,
    frames: Sequence[Verdict],
    shown: Sequence[ShownFrame],
    names: dict[int, str],
    undoable: Sequence[Review],
) -> None:
    """Draw the frames with a checkbox each, and the labels for the selected ones.

    Args:
        page: The page's context.
        frames: The frames.
        shown: The same frames with the newest review of each.
        names: Station id → name.
        undoable: The reviews that the undo button undoes.
    """
    toolbar = st.container(horizontal=True, gap="xsmall", key="labels", vertical_alignment="center")
    thumbnails(page, frames, names)
    number = len(selected_of(shown))
    key, all_selected = f"{shown[0].frame_id}-{len(shown)}", number == len(shown)
    buttons: tuple[tuple[str, str, Label], ...] = (
        ("Defect", "D", "defect"),
        ("False reject", "F", "false_alarm"),
        ("Unsure", "U", "unsure"),
    )
    with toolbar:  # drawn last, so that no key applies to a frame that is not on the screen yet
        for text, shortcut, label in buttons:
            label_buttons.label_button(
                page,
                text,
                shortcut,
                f"{label}-{key}",
                shown,
                label,
                enabled=page.is_allowed("review.label") and number > 0,
                on_click=label_selected,
            )
        st.button(
            "Select none" if all_selected else "Select all",
            key="select-all",
            icon=":material/select_all:",
            shortcut="A",
            on_click=select,
            args=([frame.frame_id for frame in shown], not all_selected),
        )
        label_buttons.next_button([frame.frame_id for frame in shown])
        label_buttons.undo_button(page, undoable)
        st.html(review_html.selection(number, len(shown)), width="content")


def label_selected(page: PageContext, shown: Sequence[ShownFrame], label: Label) -> None:
    """Label the frames that are selected at this moment, which may be more than when the button was drawn."""
    review_session.label_frames(page, selected_of(shown), label)


def selected_of(shown: Sequence[ShownFrame]) -> list[ShownFrame]:
    """Return the frames whose checkbox is ticked."""
    return [frame for frame in shown if st.session_state.get(checkbox_key(frame.frame_id))]


def thumbnails(page: PageContext, frames: Sequence[Verdict], names: dict[int, str]) -> None:
    """Draw the frames as thumbnails with a checkbox each."""
    with st.grid(min_column_width=210, gap="small", key="review-grid"):
        for frame in frames:
            name = names[frame.station_id]
            caption = verdict_html.thumbnail_caption(frame, page.now(), page.time_zone)
            with st.container(key=f"choice-{frame.frame_id}", gap="xxsmall"):
                image = CaptionedImage(
                    frame.image_reference,
                    caption,
                    f"Frame of {name}",
                    frame.station_id,
                    frame.frame_id,
                    frame.regions,
                )
                image_grid.captioned_image(page, image, 480, 360, "cover")
                st.checkbox(name, key=checkbox_key(frame.frame_id))


def select(frame_ids: Sequence[UUID], selected: bool) -> None:
    """Select or deselect frames."""
    for frame_id in frame_ids:
        st.session_state[checkbox_key(frame_id)] = selected


def checkbox_key(frame_id: UUID) -> str:
    """Return the key of a frame's checkbox."""
    return f"choose-{frame_id}"
