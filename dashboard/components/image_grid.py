"""Stored images side by side, each with a line of HTML under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import streamlit as st
from markupsafe import Markup

from dashboard.components import elements
from dashboard.components.picture.outlined_image import Fit, outlined_image
from dashboard.context import PageContext
from storage.areas.regions import Region

SIZE = 240  # pixels, the longest edge of a thumbnail


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """A stored image; `alt` describes it for screen readers.

    It is read at the bit depth of the station `station_id`; None for its own. With `frame`, the id of the frame that it
    shows, the `regions` of its verdict are outlined.
    """

    reference: str
    caption: Markup
    alt: str
    station_id: int | None = None
    frame: UUID | None = None
    regions: Sequence[Region] | None = None


def image_grid(page: PageContext, images: Sequence[CaptionedImage], key: str, *, min_column_width: int = 110) -> None:
    """Draw the images in as many columns as fit; `min_column_width` is in pixels."""
    with st.grid(min_column_width=min_column_width, gap="xsmall", key=f"images-{key}"):
        for image in images:
            with st.container(gap=None):
                captioned_image(page, image)


def captioned_image(
    page: PageContext, image: CaptionedImage, width: int = SIZE, height: int = SIZE, fit: Fit = "contain"
) -> None:
    """Draw one image with its caption, or a placeholder where it can't be shown."""
    if thumbnail := page.thumbnail(image.reference, width, height, image.station_id):
        if image.frame is not None and image.regions:
            outlined_image(thumbnail, image.regions, f"frame-{image.frame}", image.alt, fit)
        else:
            st.image(thumbnail, width="stretch", alt=image.alt)
    else:
        st.html(elements.no_thumbnail())
    st.html(image.caption)


def images_without_captions(page: PageContext, images: Sequence[tuple[str, str]], station_id: int) -> None:
    """Draw images of a station without captions, skipping those that can't be shown; each is (reference, alt)."""
    for reference, alt in images:
        if thumbnail := page.thumbnail(reference, SIZE, SIZE, station_id):
            st.image(thumbnail, width="stretch", alt=alt)
