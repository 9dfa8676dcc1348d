"""The golden frame: one whose score is known. Scored again now, it must come out the same."""

from uuid import UUID

import streamlit as st

from dashboard import acting, identity, job_view, missed, opening, pictures_row, review_facts, tiles, words
from dashboard.pictures_row import Captioned
from storage import golden, verdicts
from storage.desk import golden as desk
from storage.desk import jobs as desk_jobs
from storage.golden import GoldenFrame
from storage.stations import Station

OFFERED = 12
FIELD = "golden_id"


def golden_view(place: Station) -> None:
    with opening.reading() as session:
        frame = golden.of_station(session, place.id)
        job = job_view.newest(session, place, "golden")
        scorer_runs = job_view.is_any_scorer(session)
    with st.container(border=True, key="card-golden"):
        st.html(tiles.heading("Golden frame", "scored again at any time, it must come out the same"))
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
                job_view.under_way(open_job, scorer_runs)
            elif not scorer_runs:
                st.warning(job_view.NOBODY, icon=":material/power_off:")
            if job is not None and job.is_over:
                job_view.trouble(job)
    choice(place)


def told(frame: GoldenFrame) -> None:
    """The frame, the score that it had, the one it has now, and whether they agree."""
    picture, figures = st.columns([2, 7], gap="small", vertical_alignment="center")
    with picture:
        if copy := opening.small_copy(frame.image_reference, 320, 320):
            st.image(copy, width="stretch", alt="The golden frame")
    with figures:
        st.html(agreement(frame))
        st.caption(f"Chosen by {frame.chosen_by}, {words.ago(frame.chosen_at, opening.now())}.")


def agreement(frame: GoldenFrame) -> str:
    agrees = frame.agrees
    answer = {None: "not known", True: "the same", False: "differs"}[agrees]
    when = f"{words.ago(frame.scored_at, opening.now())}, by {frame.scored_by}" if frame.scored_at else ""
    return tiles.strip(
        tiles.figure("Score when chosen", f"{frame.expected_score:.4f}", frame.model_id),
        tiles.figure("Score now", "–" if frame.latest_score is None else f"{frame.latest_score:.4f}", when),
        tiles.figure("They are", answer, advice(frame), "bad" if agrees is False else ""),
    )


def advice(frame: GoldenFrame) -> str:
    if frame.agrees is False:
        return "look at model, weights and settings of the scorers"
    return f"to {golden.SAME_WITHIN:g} of the score" if frame.agrees else "press Score it now"


def score_now(place: Station) -> None:
    """Twice pressed it is asked for once."""
    with opening.reading() as session:
        job = job_view.newest(session, place, "golden")
    if job is not None and not job.is_over:
        return
    acting.act(lambda session, who: desk_jobs.start_golden(session, who, place.name, opening.now()), "Asked for.")


def choice(place: Station) -> None:
    """The newest frames that passed, and a field for any other one."""
    may = identity.may("golden_frame.set")
    with opening.reading() as session:
        frames = verdicts.recent(session, place.id, decision="pass", limit=OFFERED)
    with st.container(border=True, key="card-choose"):
        st.html(tiles.heading("Choose another", "the newest that passed, or any other one by its id"))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Frame id", key=FIELD, placeholder="as a frame's provenance says it", width=330, disabled=not may
            )
            st.button(
                "Make it the golden frame", key="golden-by-id", disabled=not may, on_click=choose_named, args=(place,)
            )
        now, zone = opening.now(), opening.zone()
        with st.grid(min_column_width=130, gap="xsmall", key="gallery"):
            for number, frame in enumerate(frames):
                with st.container(key=f"offer-{number}", gap="xxsmall"):
                    line = review_facts.result_thumb(frame, now, zone)
                    pictures_row.picture(Captioned(frame.image_reference, line, "A frame that passed"))
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
    with opening.reading() as session:
        frame = missed.by_id(session, text)
    if frame is None or frame.station_id != place.id:
        acting.refuse(f"No frame of {place.name} has the id {text[:40]!r}.")
        return
    choose(frame.frame_id)


def choose(frame_id: UUID) -> None:
    acting.act(lambda session, who: desk.choose(session, who, frame_id, opening.now()), "It is the golden frame now.")
