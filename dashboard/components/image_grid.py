"""Kept pictures side by side, each with a line under it."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import context
from dashboard.components import elements


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """A kept picture; `line` is HTML and `alt` says what is to be seen."""

    reference: str
    line: str
    alt: str


def row(pictures: Sequence[CaptionedImage], key: str, *, width: int = 110) -> None:
    """As many to a line as fit."""
    with st.grid(min_column_width=width, gap="xsmall", key=f"images-{key}"):
        for one in pictures:
            with st.container(gap=None):
                picture(one)


def picture(one: CaptionedImage) -> None:
    """The picture with its line; one that can't be shown leaves its line."""
    if copy := context.small_copy(one.reference, 240, 240):
        st.image(copy, width="stretch", alt=one.alt)
    else:
        st.html(f'<div class="andon-no-thumb">{elements.icon("image_not_supported")}</div>')
    st.html(one.line)
