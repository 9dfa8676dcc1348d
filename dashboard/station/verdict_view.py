"""One verdict in full: the inspection picture, the score and its components, the normal set, and the provenance."""

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting
from dashboard.charts import scores
from dashboard.components import elements, image_grid, verdict_html
from dashboard.components.image_grid import CaptionedImage
from dashboard.components.picture import inspection_picture
from dashboard.context import PageContext
from dashboard.station import pagination, verdict_pages
from dashboard.station.verdict_pages import VerdictPage
from storage.line import normal_sets
from storage.line.normal_sets import NormalSet
from storage.line.verdicts import Verdict

NORMALS_SHOWN = 8
Neighbour = tuple[Verdict, int] | None
"""A frame with the number of its page, or None at an end of the list."""


def gallery(page: PageContext, listing: VerdictPage, selected: Verdict | None) -> None:
    """Draw the frames of a page as thumbnails; a click selects one."""
    now = page.now()
    with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
        for number, frame in enumerate(listing.frames):
            captured = formatting.clock(frame.captured_at, now, page.time_zone)
            is_selected = selected is not None and frame.frame_id == selected.frame_id
            caption = verdict_html.thumbnail_caption(frame, now, page.time_zone, selected=is_selected)
            with st.container(key=f"thumb-{number}", gap=None):
                alt = f"Frame captured at {captured}"
                image = CaptionedImage(
                    frame.image_reference, caption, alt, frame.station_id, frame.frame_id, frame.regions
                )
                image_grid.captioned_image(page, image, 320, 240, "cover")
                st.button(
                    f"Show the frame of {captured}",
                    key=f"select-{frame.frame_id}",
                    on_click=pagination.select_frame,
                    args=(frame.frame_id, listing.number),
                )


def neighbours(session: Session, listing: VerdictPage, selected: Verdict) -> tuple[Neighbour, Neighbour]:
    """Return the next newer and the next older frame of the list."""
    index = verdict_pages.index_of(session, listing, selected)
    if index is None:
        return None, None
    newer, older = (verdict_pages.frame_at(session, listing, other) for other in (index - 1, index + 1))
    return (
        (newer, verdict_pages.page_of_index(index - 1)) if newer else None,
        (older, verdict_pages.page_of_index(index + 1)) if older else None,
    )


def verdict_view(
    page: PageContext, station: str, frame: Verdict, normal_set: NormalSet | None, newer: Neighbour, older: Neighbour
) -> None:
    """Draw a verdict of a station with buttons that select the frames before and after it."""
    picture = inspection_picture.prepare(page, frame, station, normal_set)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(verdict_html.headline(frame, page.time_zone), width="content")
        with st.container(horizontal=True, width="content", gap="xsmall"):
            step_button("Newer", "chevron_left", "K", newer)
            step_button("Older", "chevron_right", "J", older)
    left, right = st.columns([8, 5], gap="small")
    with left:
        inspection_picture.draw(picture)
    with right:
        st.html(verdict_html.score_bar(frame))
        review_link(page, frame)
        components(page, frame)
        compared_with(page, normal_set)
    with st.expander("Provenance", icon=":material/receipt_long:", expanded=True):
        st.html(verdict_html.provenance(frame, normal_set, page.time_zone))
    if older is not None and pagination.frozen_at() is not None:  # somebody steps through the frames
        same_set = normal_set if older[0].normal_set_id == frame.normal_set_id else None
        inspection_picture.draw_ahead(inspection_picture.prepare(page, older[0], station, same_set))


def step_button(name: str, icon: str, shortcut: str, target: Neighbour) -> None:
    """Draw a button that selects a neighbouring frame."""
    st.button(
        name,
        key=f"step-{name}",
        icon=f":material/{icon}:",
        shortcut=shortcut,
        disabled=target is None,
        on_click=pagination.select_frame,
        args=(target[0].frame_id, target[1]) if target else None,
    )


def review_link(page: PageContext, frame: Verdict) -> None:
    """Draw a link to label the frame on the review page, which also explains why a frame passed."""
    passed = frame.decision == "pass"
    st.page_link(
        page.pages["review"],
        label="Missed defect? See why this frame passed" if passed else "Label this frame",
        icon=":material/troubleshoot:" if passed else ":material/rate_review:",
        query_params={"mode": "Find a frame", "frame": str(frame.frame_id)},
    )


def components(page: PageContext, frame: Verdict) -> None:
    """Draw the components of the score; nothing for a detector that has none."""
    if not frame.components:
        return
    values = ", ".join(f"{name} {formatting.score(value)}" for name, value in sorted(frame.components.items()))
    st.html(elements.heading("Score components"))
    st.echarts_chart(
        scores.components(frame.components, page.palette),
        height=16 + 26 * len(frame.components),
        key="components",
        alt=f"Score components: {values}",
    )


def compared_with(page: PageContext, normal_set: NormalSet | None) -> None:
    """Draw the first images of the normal set that the frame was compared with."""
    if normal_set is None:
        st.html(elements.heading("Compared with", "no normal set"))
        return
    number = len(normal_set.images)
    st.html(elements.heading("Compared with", f"normal set v{normal_set.version}, {number} good parts"))
    with st.grid(4, min_column_width=64, gap="xxsmall", key="normals"):
        shown = normal_set.images[:NORMALS_SHOWN]
        image_grid.images_without_captions(
            page, [(image.reference, f"Good part {image.name}") for image in shown], normal_set.station_id
        )
    if number > NORMALS_SHOWN:
        st.caption(f"and {number - NORMALS_SHOWN} more")


def normal_set_of(session: Session, frame: Verdict) -> NormalSet | None:
    """Return the normal set that the verdict was made with, which may not be the active one any more."""
    versions = normal_sets.list_all(session, frame.station_id)
    return next((version for version in versions if version.id == frame.normal_set_id), None)
