"""The good part that stands out: shown before it becomes a normal, since a bad one hides defects of its kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import formatting
from dashboard.components import elements, images
from imaging import similar_images

SHOWN = 3


@dataclass(frozen=True, slots=True)
class StandingOut:
    """The names of the images that stand out, the most conspicuous first.

    `is_odd` says whether they are unlike the others; if not, one image is named that is the least like them.
    """

    names: tuple[str, ...]
    is_odd: bool


def draw_standing_out(thumbnails: Mapping[str, bytes]) -> None:
    """Draw the images that stand out of those chosen, by name; nothing among fewer than four."""
    found = standing_out(tuple(thumbnails), tuple(thumbnails.values()))
    if not found.names:
        return
    with st.container(border=True, key="card-odd"):
        title = "Look at it twice: unlike the others" if found.is_odd else "The least like the others"
        st.html(elements.heading(title))
        with st.container(horizontal=True, vertical_alignment="center"):
            for name in found.names[:SHOWN]:
                st.image(thumbnails[name], width=120, alt=f"{name}, which stands out", caption=name)
            if found.is_odd:
                number = formatting.plural(len(found.names), "image stands", "images stand")
                st.warning(
                    f"{number} out. A bad part among the good ones hides defects of its kind: remove it, unless it is "
                    "a good part.",
                    icon=":material/warning:",
                )
            else:
                st.caption("It does not stand out. Make sure that it is a good part.")


@st.cache_data(max_entries=100, show_spinner=False)
def standing_out(names: Sequence[str], thumbnails: Sequence[bytes]) -> StandingOut:
    """Return which images stand out, of those of these names; cached, as 64 images take three seconds."""
    prints = {
        name: similar_images.fingerprint(images.pixels_of_thumbnail(thumbnail))
        for name, thumbnail in zip(names, thumbnails, strict=True)
    }
    oddness = similar_images.oddest_places(prints)
    most_first = sorted(oddness, key=lambda name: (-oddness[name], name))
    odd = set(similar_images.odd_ones(prints))
    if odd:
        return StandingOut(tuple(name for name in most_first if name in odd), is_odd=True)
    return StandingOut(tuple(most_first[:1]), is_odd=False)
