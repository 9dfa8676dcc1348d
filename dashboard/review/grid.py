"""Many frames at once: choose those that are alike and say one word for all of them."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from dashboard import context
from dashboard.auth import identity
from dashboard.components import elements
from dashboard.review import frame_view, review_html, review_session
from dashboard.review.labelling import ShownFrame
from storage.line.verdicts import Verdict
from storage.review.labels import Label
from storage.review.reviews import Review

SIZE = 12


def grid(frames: Sequence[Verdict], shown: Sequence[ShownFrame], names: dict[int, str], undoes: list[Review]) -> None:
    """The frames as small pictures with a box each, and the words for those that are chosen."""
    bar = st.container(horizontal=True, gap="xsmall", key="words", vertical_alignment="center")
    thumbs(frames, names)
    may = identity.may("review.label")
    chosen = chosen_of(shown)
    with bar:  # last, so that no key speaks of what is not on the screen
        say("Defect", "report", "D", shown, "defect", may and bool(chosen))
        say("False alarm", "verified", "F", shown, "false_alarm", may and bool(chosen))
        say("Unsure", "help", "U", shown, "unsure", may and bool(chosen))
        st.button(
            "Choose none" if len(chosen) == len(shown) else "Choose all",
            key="choose-all",
            icon=":material/select_all:",
            shortcut="A",
            on_click=choose,
            args=(shown, len(chosen) != len(shown)),
        )
        frame_view.next_button(list(shown))
        frame_view.undo_button(undoes)
        st.html(f'<span class="andon-quiet">{len(chosen)} of {len(shown)} chosen</span>', width="content")


def thumbs(frames: Sequence[Verdict], names: dict[int, str]) -> None:
    now, zone = context.now(), context.zone()
    with st.grid(min_column_width=210, gap="small", key="review-grid"):
        for frame in frames:
            with st.container(key=f"choice-{frame.frame_id}", gap="xxsmall"):
                if copy := context.small_copy(frame.image_reference, 480, 360):
                    st.image(copy, width="stretch", alt=f"Frame of {names[frame.station_id]}")
                else:
                    st.html(f'<div class="andon-no-thumb">{elements.icon("image_not_supported")}</div>')
                st.html(review_html.result_thumb(frame, now, zone))
                st.checkbox(names[frame.station_id], key=box(frame.frame_id))


def say(caption: str, icon: str, key: str, shown: Sequence[ShownFrame], label: Label, may: bool) -> None:
    st.button(
        caption,
        key=f"say-{label}-{shown[0].frame_id}-{len(shown)}",
        icon=f":material/{icon}:",
        shortcut=key,
        disabled=not may,
        on_click=say_of_chosen,
        args=(shown, label),
    )


def say_of_chosen(shown: Sequence[ShownFrame], label: Label) -> None:
    review_session.say(chosen_of(shown), label)


def choose(shown: Sequence[ShownFrame], every: bool) -> None:
    for one in shown:
        st.session_state[box(one.frame_id)] = every


def chosen_of(shown: Sequence[ShownFrame]) -> list[ShownFrame]:
    return [one for one in shown if st.session_state.get(box(one.frame_id))]


def box(frame_id: UUID) -> str:
    return f"choose-{frame_id}"
