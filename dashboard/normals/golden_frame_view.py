"""The golden frame: one whose score is known. Scored again now, it must come out the same."""

from uuid import UUID

import streamlit as st

from dashboard import context, formatting, mutations
from dashboard.auth import identity
from dashboard.components import elements, image_grid, job_progress
from dashboard.components.image_grid import CaptionedImage
from dashboard.review import frame_search, review_html
from storage.actions import golden_frames as actions
from storage.actions import jobs as job_actions
from storage.line import golden_frames, verdicts
from storage.line.golden_frames import GoldenFrame
from storage.line.stations import Station

OFFERED = 12
FIELD = "golden_id"


def golden_view(place: Station) -> None:
    with context.reading() as session:
        frame = golden_frames.find(session, place.id)
        job = job_progress.newest(session, place, "golden")
        scorer_runs = job_progress.is_any_scorer(session)
    with st.container(border=True, key="card-golden"):
        st.html(elements.heading("Golden frame", "scored again at any time, it must come out the same"))
        if frame is None:
            st.caption("There is none yet: choose one of the station's frames below, such as a typical good part.")
        else:
            told(frame)
            open_job = job if job is not None and not job.is_over else None
            st.button(
                "Score it now",
                key=f"golden-{job.id if job else 0}",
                type="primary",
                icon=":material/speed:",
                disabled=open_job is not None or not identity.may("job.start"),
                on_click=score_now,
                args=(place,),
            )
            if open_job:
                job_progress.under_way(open_job, scorer_runs)
            elif not scorer_runs:
                st.warning(job_progress.NOBODY, icon=":material/power_off:")
            if job is not None and job.is_over:
                job_progress.trouble(job)
    choice(place)


def told(frame: GoldenFrame) -> None:
    """The frame, the score that it had, the one it has now, and whether they agree."""
    picture, figures = st.columns([2, 7], gap="small", vertical_alignment="center")
    with picture:
        if copy := context.small_copy(frame.image_reference, 320, 320):
            st.image(copy, width="stretch", alt="The golden frame")
    with figures:
        st.html(agreement(frame))
        st.caption(f"Chosen by {frame.chosen_by}, {formatting.ago(frame.chosen_at, context.now())}.")


def agreement(frame: GoldenFrame) -> str:
    agrees = frame.agrees
    answer = {None: "not known", True: "the same", False: "differs"}[agrees]
    when = f"{formatting.ago(frame.scored_at, context.now())}, by {frame.scored_by}" if frame.scored_at else ""
    return elements.strip(
        elements.figure("Score when chosen", f"{frame.expected_score:.4f}", frame.model_id),
        elements.figure("Score now", "–" if frame.latest_score is None else f"{frame.latest_score:.4f}", when),
        elements.figure("They are", answer, advice(frame), "bad" if agrees is False else ""),
    )


def advice(frame: GoldenFrame) -> str:
    if frame.agrees is False:
        return "look at model, weights and settings of the scorers"
    return f"to {golden_frames.TOLERANCE:g} of the score" if frame.agrees else "press Score it now"


def score_now(place: Station) -> None:
    """Twice pressed it is asked for once."""
    with context.reading() as session:
        job = job_progress.newest(session, place, "golden")
    if job is not None and not job.is_over:
        return
    mutations.act(lambda session, who: job_actions.start_golden(session, who, place.name, context.now()), "Asked for.")


def choice(place: Station) -> None:
    """The newest frames that passed, and a field for any other one."""
    may = identity.may("golden_frame.set")
    with context.reading() as session:
        frames = verdicts.recent(session, place.id, decision="pass", limit=OFFERED)
    with st.container(border=True, key="card-choose"):
        st.html(elements.heading("Choose another", "the newest that passed, or any other one by its id"))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Frame id", key=FIELD, placeholder="as a frame's provenance says it", width=330, disabled=not may
            )
            st.button(
                "Make it the golden frame", key="golden-by-id", disabled=not may, on_click=choose_named, args=(place,)
            )
        now, zone = context.now(), context.zone()
        with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
            for number, frame in enumerate(frames):
                with st.container(key=f"offer-{number}", gap="xxsmall"):
                    line = review_html.result_thumb(frame, now, zone)
                    image_grid.picture(CaptionedImage(frame.image_reference, line, "A frame that passed"))
                    st.button(
                        "Choose",
                        key=f"choose-{frame.frame_id}",
                        type="tertiary",
                        disabled=not may,
                        on_click=choose,
                        args=(frame.frame_id,),
                    )


def choose_named(place: Station) -> None:
    text = str(st.session_state.get(FIELD) or "").strip()
    with context.reading() as session:
        frame = frame_search.by_id(session, text)
    if frame is None or frame.station_id != place.id:
        mutations.refuse(f"No frame of {place.name} has the id {text[:40]!r}.")
        return
    choose(frame.frame_id)


def choose(frame_id: UUID) -> None:
    mutations.act(
        lambda session, who: actions.choose(session, who, frame_id, context.now()), "It is the golden frame now."
    )
