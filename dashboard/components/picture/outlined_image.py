"""An image of a frame with the outlines of where it differs, as the wall, lists and alerts show it."""

import io
from collections.abc import Sequence
from typing import Literal

import streamlit as st
from PIL import Image

from dashboard.components.picture.where import outlines_over, where
from storage.areas.regions import Region

Fit = Literal["contain", "cover"]
"""How a style sheet fits an image into its box: all of it is shown, or the box is filled."""


def outlined_image(
    thumbnail: bytes,
    regions: Sequence[Region] | None,
    key: str,
    alt: str,
    fit: Fit = "contain",
) -> None:
    """Draw a thumbnail with outlines that stay sharp at any size.

    Args:
        thumbnail: The image as `PageContext.thumbnail` returns it.
        regions: The regions of the frame's verdict; none for a frame that passed.
        key: Unique on the page.
        alt: Describes the image for screen readers; where it differs is added.
        fit: How the style sheet fits the image into its box.
    """
    words = where(regions)
    with st.container(key=f"outlined-{key}", gap=None):
        st.image(thumbnail, width="stretch", alt=f"{alt}; {words}" if words else alt)
        if regions:
            with Image.open(io.BytesIO(thumbnail)) as image:
                width, height = image.size
            st.html(outlines_over(regions, width, height, fit))
