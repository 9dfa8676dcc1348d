"""The golden frame: its score is known, so scoring it again shows whether the scorers still compute the same."""

from uuid import UUID

import streamlit as st
from markupsafe import Markup

from dashboard import formatting, mutations
from dashboard.components import elements, image_grid, job_progress, verdict_html
from dashboard.components.elements import Metric
from dashboard.components.image_grid import CaptionedImage
from dashboard.context import PageContext
from dashboard.review import frame_search
from storage.actions import golden_frames as golden_frame_actions
from storage.actions import jobs as job_actions
from storage.line import golden_frames, verdicts
from storage.line.golden_frames import GoldenFrame
from storage.line.stations import Station

FRAMES_OFFERED = 12
FRAME_ID_FIELD = "golden_id"


def golden_frame_view(page: PageContext, station: Station) -> None:
    """Draw the golden frame with its scores, the button that scores it again, and the choice of another frame."""
    with page.read() as session:
        frame = golden_frames.find(session, station.id)
        job = job_progress.newest_job(session, station, "golden")
        scorer_alive = job_progress.any_scorer_alive(page, session)
    with st.container(border=True, key="card-golden"):
        st.html(elements.heading("Golden frame", "scored again at any time, its score must not change"))
        if frame is None:
            st.caption("No golden frame yet. Choose a frame below, such as a typical good part.")
        else:
            comparison(page, frame)
            running = job if job is not None and not job.is_over else None
            st.button(
                "Score again",
                key=f"golden-{job.id if job else 0}",
                type="primary",
                icon=":material/speed:",
                disabled=running is not None or not page.is_allowed("job.start"),
                on_click=score_again,
                args=(page, station),
            )
            if running:
                job_progress.job_under_way(page, running, scorer_alive=scorer_alive)
            elif not scorer_alive:
                st.warning(job_progress.NO_SCORER, icon=":material/power_off:")
            if job is not None:
                job_progress.show_failure(job)
    choose_frame(page, station)


def comparison(page: PageContext, frame: GoldenFrame) -> None:
    """Draw the golden frame, its score when it was chosen, its latest score, and whether they agree."""
    image, numbers = st.columns([2, 7], gap="small", vertical_alignment="center")
    with image:
        if thumbnail := page.thumbnail(frame.image_reference, 320, 320, frame.station_id):
            st.image(thumbnail, width="stretch", alt="The golden frame")
    with numbers:
        st.html(metrics(page, frame))
        st.caption(f"Chosen by {frame.chosen_by}, {formatting.ago(frame.chosen_at, page.now())}.")


def metrics(page: PageContext, frame: GoldenFrame) -> Markup:
    """Return both scores of the golden frame and whether they agree."""
    latest = "–" if frame.latest_score is None else f"{frame.latest_score:.4f}"
    scored_note = f"{formatting.ago(frame.scored_at, page.now())}, by {frame.scored_by}" if frame.scored_at else ""
    if frame.agrees is None:
        result = Metric("Result", "unknown", "press Score again")
    elif frame.agrees:
        result = Metric("Result", "the same", f"within {golden_frames.TOLERANCE:g} of the score")
    else:
        result = Metric("Result", "differs", "check model, weights and settings of the scorers", "bad")
    return elements.metrics(
        Metric("Score when chosen", f"{frame.expected_score:.4f}", frame.model_id),
        Metric("Latest score", latest, scored_note),
        result,
    )


def score_again(page: PageContext, station: Station) -> None:
    """Start the job that scores the golden frame unless one is running, so that two presses start one."""
    with page.read() as session:
        job = job_progress.newest_job(session, station, "golden")
    if job is not None and not job.is_over:
        return
    mutations.apply(
        page,
        lambda session, actor: job_actions.start_golden(session, actor, station.name, page.now()),
        "The golden frame will be scored.",
    )


def choose_frame(page: PageContext, station: Station) -> None:
    """Draw the newest frames that passed to choose from, and a field for the id of any other one."""
    allowed = page.is_allowed("golden_frame.set")
    with page.read() as session:
        frames = verdicts.recent(session, station.id, decision="pass", limit=FRAMES_OFFERED)
    with st.container(border=True, key="card-choose"):
        st.html(elements.heading("Choose a golden frame", "one of the newest that passed, or any frame by its id"))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Frame id",
                key=FRAME_ID_FIELD,
                placeholder="from the provenance of a frame",
                width=330,
                disabled=not allowed,
            )
            st.button(
                "Set golden frame",
                key="golden-by-id",
                disabled=not allowed,
                on_click=set_by_id,
                args=(page, station),
            )
        with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
            for number, frame in enumerate(frames):
                with st.container(key=f"offer-{number}", gap="xxsmall"):
                    caption = verdict_html.thumbnail_caption(frame, page.now(), page.time_zone)
                    image = CaptionedImage(frame.image_reference, caption, "A frame that passed", frame.station_id)
                    image_grid.captioned_image(page, image)
                    st.button(
                        "Choose",
                        key=f"choose-{frame.frame_id}",
                        type="tertiary",
                        disabled=not allowed,
                        on_click=set_golden_frame,
                        args=(page, frame.frame_id),
                    )


def set_by_id(page: PageContext, station: Station) -> None:
    """Make the frame whose id was typed the golden frame."""
    text = str(st.session_state.get(FRAME_ID_FIELD) or "").strip()
    with page.read() as session:
        frame = frame_search.verdict_by_id(session, text)
    if frame is None or frame.station_id != station.id:
        mutations.refuse(f"No frame of {station.name} has the id {text[:40]!r}.")
        return
    set_golden_frame(page, frame.frame_id)


def set_golden_frame(page: PageContext, frame_id: UUID) -> None:
    """Make a frame the golden frame of its station."""
    mutations.apply(
        page,
        lambda session, actor: golden_frame_actions.choose(session, actor, frame_id, page.now()),
        "The golden frame was set.",
    )
