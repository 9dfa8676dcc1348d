"""One verdict: the frame with its anomaly map, what the score was made of, good parts beside it, and provenance."""

from datetime import datetime

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting
from dashboard.charts import scores
from dashboard.components import elements, images, inspection_picture, verdict_html
from dashboard.station import pagination, verdict_pages
from dashboard.station.verdict_pages import PAGE_SIZE, VerdictPage
from storage.line import normal_sets
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.verdicts import Verdict

NORMALS_SHOWN = 8


def gallery(place: Station, shown: VerdictPage, chosen: Verdict | None, now: datetime) -> None:
    """The page's frames as small pictures; a click chooses one."""
    with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
        for number, frame in enumerate(shown.frames):
            with st.container(key=f"thumb-{number}", gap=None):
                copy = context.small_copy(frame.image_reference, 320, 240)
                at = formatting.clock(frame.captured_at, now, context.zone())
                if copy:
                    st.image(copy, width="stretch", alt=f"Frame of {place.name} at {at}")
                else:
                    st.html(f'<div class="andon-no-thumb">{elements.icon("image_not_supported")}</div>')
                st.html(elements.thumb(frame, at, chosen is not None and frame.frame_id == chosen.frame_id))
                st.button(
                    f"Show the frame of {at}",
                    key=f"pick-{frame.frame_id}",
                    on_click=pagination.choose,
                    args=(frame.frame_id, shown.page),
                )


def neighbours(session: Session, shown: VerdictPage, chosen: Verdict) -> tuple[tuple[Verdict, int] | None, ...]:
    """The next newer and the next older frame of the list, each with its page; None where there is none."""
    here = verdict_pages.position(session, shown, chosen)
    if here is None:
        return None, None
    found = []
    for index in (here - 1, here + 1):
        frame = verdict_pages.at_position(session, shown, index)
        found.append((frame, index // PAGE_SIZE + 1) if frame else None)
    return tuple(found)


def verdict_view(frame: Verdict, normal_set: NormalSet | None, beside: tuple[tuple[Verdict, int] | None, ...]) -> None:
    newer, older = beside
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(verdict_html.verdict_line(frame, context.zone()), width="content")
        with st.container(horizontal=True, width="content", gap="xsmall"):
            step("Newer", ":material/chevron_left:", "K", newer)
            step("Older", ":material/chevron_right:", "J", older)
    left, right = st.columns([8, 5], gap="small")
    with left:
        picture(frame)
    with right:
        st.html(verdict_html.score_bar(frame))
        to_review(frame)
        if frame.components:
            st.html(elements.heading("What the score is made of"))
            st.echarts_chart(
                scores.components(frame.components, context.colours()),
                height=16 + 26 * len(frame.components),
                key="components",
                alt="Components: "
                + ", ".join(f"{name} {formatting.score(value)}" for name, value in sorted(frame.components.items())),
            )
        normals(normal_set)
    with st.expander("Provenance", icon=":material/receipt_long:", expanded=True):
        st.html(verdict_html.provenance(frame, normal_set, context.zone()))


def to_review(frame: Verdict) -> None:
    """The way to say what the frame is, and for one that passed, to ask why."""
    passed = frame.decision == "pass"
    st.page_link(
        "../review/page.py",
        label="A defect? Why was it missed" if passed else "Say what it is",
        icon=":material/troubleshoot:" if passed else ":material/rate_review:",
        query_params={"how": "Find a frame", "frame": str(frame.frame_id)},
    )


def step(label: str, icon: str, shortcut: str, to: tuple[Verdict, int] | None) -> None:
    st.button(
        label,
        key=f"step-{label}",
        icon=icon,
        shortcut=shortcut,
        disabled=to is None,
        on_click=pagination.choose,
        args=(to[0].frame_id, to[1]) if to else None,
    )


def picture(frame: Verdict) -> None:
    copy = context.small_copy(frame.image_reference, 1200, 1000)
    if copy is None:
        st.warning(
            "This frame's picture is not in the image store, or the store is away.",
            icon=":material/image_not_supported:",
        )
        return
    found = context.anomaly_map(frame.map_reference) if frame.map_reference else None
    calm = images.calmness(frame.score, frame.threshold)
    inspection_picture.overlay(
        copy,
        None if found is None else images.heat_layer(found, calm),
        None if found is None else images.scale(found, calm),
        f"Frame {frame.frame_id}",
    )


def normals(normal_set: NormalSet | None) -> None:
    """The good parts that the frame was compared with."""
    if normal_set is None:
        st.html(elements.heading("Compared with", "no normal set"))
        return
    st.html(elements.heading("Compared with", f"normal set v{normal_set.version}, {len(normal_set.images)} good parts"))
    with st.grid(4, min_column_width=64, gap="xxsmall", key="normals"):
        for image in normal_set.images[:NORMALS_SHOWN]:
            if copy := context.small_copy(image.reference, 240, 240):
                st.image(copy, width="stretch", alt=f"Good part {image.name}")
    if len(normal_set.images) > NORMALS_SHOWN:
        st.caption(f"and {len(normal_set.images) - NORMALS_SHOWN} more")


def normal_set_of(session: Session, frame: Verdict) -> NormalSet | None:
    """The very set that the verdict was made with, which may not be the active one any more."""
    versions = normal_sets.list_all(session, frame.station_id)
    return next((version for version in versions if version.id == frame.normal_set_id), None)
