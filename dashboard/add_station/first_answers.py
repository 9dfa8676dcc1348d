"""The last step of adding a station: the highest of its first frames, good or bad, which place the threshold."""

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.components import elements, verdict_html
from dashboard.context import PageContext, draw_live
from dashboard.review import labelling
from dashboard.review.labelling import ShownFrame
from storage.auth.actors import Actor
from storage.line import thresholds, verdicts
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue
from storage.review.labels import Label
from storage.review.review_queue import ASKED_FROM

THUMBNAIL = 480  # pixels


def is_reached(session: Session, station: Station) -> bool:
    """Return whether the station asks about frames, or somebody has answered."""
    return bool(review_queue.asked(session, station.id) or labels.recent(session, station.id, limit=1))


def draw_progress(frames: int) -> None:
    """Draw how many frames are missing until the station asks."""
    if frames < ASKED_FROM:
        text = f"{frames} of {ASKED_FROM} frames. Then the station asks about the highest of them: good or bad?"
        st.progress(frames / ASKED_FROM, text)
    else:
        st.markdown(":material/hourglass_empty: The station asks about its highest frames within a minute.")


def first_answers_step(page: PageContext, station: Station) -> None:
    """Draw the frames that the station asks about with two answers each, and where its threshold lies."""
    with page.read() as session:
        asked = [verdicts.get(session, frame_id) for frame_id in review_queue.asked(session, station.id)]
    with st.container(border=True, key="card-wizard"):
        if asked:
            st.html(elements.heading("Good or bad?", f"the highest of the first frames, {len(asked)} left"))
            st.markdown("Your answers place the threshold. It stays as it is until five of them are given.")
        else:
            st.html(elements.heading("All answered"))
        draw_live(page, draw_threshold, None, station)
        with st.grid(min_column_width=190, gap="small", key="images-asked"):
            for frame in asked:
                draw_question(page, station, frame)
        with st.container(horizontal=True):
            st.page_link(page.pages["station"], label=f"Open {station.name}", query_params={"station": station.name})
            st.page_link(page.pages["wall"], label="Live wall")


def draw_threshold(page: PageContext, station: Station) -> None:
    """Draw the threshold in force, where it was before the answers, and what it can guarantee."""
    with page.read() as session:
        history = thresholds.history(session, station.id)
    if history:
        st.info(describe_threshold(history[0], history[-1]), icon=":material/rule:")


def describe_threshold(newest: Threshold, first: Threshold) -> str:
    """Return the threshold, whether it has moved since the first one, and its guarantee."""
    value = formatting.score(newest.value)
    moved = f", moved from {formatting.score(first.value)}" if newest.value != first.value else ""
    return f"Threshold {value}{moved}. {newest.guarantee}"


def draw_question(page: PageContext, station: Station, frame: Verdict) -> None:
    """Draw one frame with its score and the two answers."""
    with st.container(key=f"asked-{frame.frame_id}", gap="xxsmall"):
        if thumbnail := page.thumbnail(frame.image_reference, THUMBNAIL, THUMBNAIL, station.id):
            st.image(thumbnail, width="stretch", alt=f"Frame with score {formatting.score(frame.score)}")
        st.html(verdict_html.thumbnail_caption(frame, page.now(), page.time_zone))
        answers: tuple[tuple[str, str, Label], ...] = (
            ("Good", "check_circle", "false_alarm"),
            ("Bad", "report", "defect"),
        )
        with st.container(horizontal=True, gap="xsmall"):
            for text, icon, label in answers:
                st.button(
                    text,
                    key=f"{label}-{frame.frame_id}",
                    icon=f":material/{icon}:",
                    disabled=not page.is_allowed("review.label"),
                    on_click=answer,
                    args=(page, frame, label),
                )


def answer(page: PageContext, frame: Verdict, label: Label) -> None:
    """Label a frame that nobody has labelled; a label that somebody gave meanwhile stays, and the page says so."""
    results: list[labelling.LabelResult] = []

    def change(session: Session, actor: Actor) -> None:
        shown = ShownFrame(frame.frame_id, 0)
        results.append(labelling.label_frames(session, actor, [shown], label, page.now()))

    if mutations.apply(page, change, "") and results[0].refusal:
        mutations.refuse(results[0].refusal)
