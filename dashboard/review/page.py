"""The review page: people label queued frames and those that a station asks about, singly, many at once, or searched.

The page never refreshes by itself: a key pressed during a refresh would be lost.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import streamlit as st

from dashboard import mutations
from dashboard.components import elements
from dashboard.components.question_link import ORDER as QUESTIONS
from dashboard.components.shortcuts import forward_shortcuts
from dashboard.components.station_choice import choose_station
from dashboard.components.swap import swapped_at_once
from dashboard.context import PageContext, draw_live
from dashboard.review import (
    frame_search,
    frame_view,
    label_buttons,
    labelling,
    questions,
    review_html,
    review_session,
)
from dashboard.review import grid as review_grid
from storage.errors import NotFound, StorageError
from storage.line import stations, verdicts
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue, reviews
from storage.review.review_queue import QueueFilter, QueueOrder
from storage.review.reviews import Review

SAMPLE = "Random sample"
ORDERS: Mapping[str, QueueOrder] = {
    "Newest": "newest",
    "Most uncertain": "most_uncertain",
    QUESTIONS: "newest",
    SAMPLE: "newest",
}
DEFAULT_ORDER = "Newest"
ONE_BY_ONE, GRID, FIND_A_FRAME = "One by one", "Grid", "Find a frame"
RECENT_LABELS = 8
REVIEWED = "reviewed"
QUEUE_NOTE = "flagged and borderline frames are queued by themselves, and a random sample of the frames that pass"
SAMPLE_NOTE = "frames that pass are sampled at random; the setting of each station gives the rate"
QUESTION_NOTE = "a station asks about its highest frames once it has scored 100; each answer moves its limits"


def review_page(page: PageContext) -> None:
    """Draw the choice of frames, the frames to label, and the person's recent labels."""
    st.title("Review")
    mutations.show_outcome()
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    if not by_name:
        st.subheader("No stations yet")
        st.markdown("There is nothing to review until a station has scored its first frames.")
        return
    mode, queue = choices(page, by_name)
    forward_shortcuts()  # before the frames, whose keys it handles from the first moment
    if not page.is_allowed("review.label"):
        st.info("You can look at this page. Labelling frames needs the role inspector.", icon=":material/visibility:")
    try:
        if mode == FIND_A_FRAME:
            questions.enter(None)
            review_session.release_claims(page)
            searched_frame(page, by_name)
        else:
            names = {station.id: station.name for station in by_name.values()}
            questions.enter(queue)
            with page.read() as session:
                asked = review_queue.questions(session)
            questions.asking(page, by_name, asked, queue)
            if queue.only_questions:
                draw_live(page, questions.draw_change, review_session.RENEW_EVERY_S, names)
            queued_frames(page, mode, queue, names)
            draw_live(page, review_session.renew_claims, review_session.RENEW_EVERY_S)
        recent_labels(page)
    except StorageError as error:
        review_session.show_queue_error(page, error)


def choices(page: PageContext, by_name: Mapping[str, Station]) -> tuple[str, QueueFilter]:
    """Draw the choice of mode, station and order, and return them."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="choices"):
        mode = st.segmented_control(
            "Mode",
            [ONE_BY_ONE, GRID, FIND_A_FRAME],
            default=ONE_BY_ONE,
            required=True,
            key="mode",
            bind="query-params",
            label_visibility="collapsed",
        )
        name, order = None, DEFAULT_ORDER
        if mode != FIND_A_FRAME:
            name = choose_station(by_name, placeholder="All stations", width=220)
            chosen = st.segmented_control(
                "Order",
                list(ORDERS),
                default=DEFAULT_ORDER,
                required=True,
                key="order",
                bind="query-params",
                label_visibility="collapsed",
            )
            order = chosen or DEFAULT_ORDER
        with st.container(key="today", width="content"):
            labels_today(page)
    station_id = by_name[name].id if name else None
    return mode or ONE_BY_ONE, QueueFilter(
        station_id, ORDERS[order], only_sampled=order == SAMPLE, only_questions=order == QUESTIONS
    )


def labels_today(page: PageContext) -> None:
    """Draw how many labels were given today."""
    since = page.start_of_day(page.now())
    with page.read() as session:
        counts = labels.counts(session, since=since)
        own_count = reviews.count_labelled_since(session, page.actor.name, since)
    st.html(review_html.today(own_count, counts))


def queued_frames(page: PageContext, mode: str, queue: QueueFilter, names: dict[int, str]) -> None:
    """Draw the next frames of the queue with their labels."""
    queued = review_session.claim_frames(page, queue, review_grid.SIZE if mode == GRID else 1)
    if not queued:
        empty_queue(page, queue, names)
        return
    with page.read() as session:
        frames = [verdicts.get(session, frame.frame_id) for frame in queued]
        undoable = labelling.last_submission(session, page.actor.name, review_grid.SIZE)
        length = review_queue.count(session, queue)
        if mode == GRID:
            shown = labelling.shown_frames(session, [frame.frame_id for frame in frames])
        else:
            details = frame_view.load_details(page, session, frames[0])
    if mode == GRID:
        with swapped_at_once(REVIEWED, f"{mode} {[str(frame.frame_id) for frame in frames]}"):
            review_grid.grid(page, frames, shown, names, undoable)
        return
    with swapped_at_once(REVIEWED, str(details.shown)), st.container(border=True, key="card-review"):
        frame_view.header(page, details, length, sampled=queued[0].sampled, asked=queued[0].question is not None)
        toolbar = st.container(key="toolbar")
        frame_view.body(page, details)
        frame_view.controls(page, toolbar, details, undoable, queued=True)
    frame_view.draw_next_ahead(page, queue, frames[0])


def empty_queue(page: PageContext, queue: QueueFilter, names: Mapping[int, str]) -> None:
    """Draw why no frame is left to review, with the button that undoes the last label."""
    with page.read() as session:
        length = review_queue.count(session, queue)
        undoable = labelling.last_submission(session, page.actor.name, review_grid.SIZE)
    with swapped_at_once(REVIEWED, "nothing"), st.container(border=True, key="card-review"):
        if length and review_session.skipped():
            st.html(elements.heading("You have skipped all remaining frames", f"{length} waiting"))
            st.button(
                "Show skipped frames",
                icon=":material/replay:",
                on_click=review_session.clear_skipped,
                type="primary",
            )
        elif length:
            st.html(elements.heading("Somebody else is reviewing the remaining frames", f"{length} waiting"))
        else:
            st.html(elements.heading(*nothing_queued(queue)))
        with st.container(horizontal=True, gap="xsmall"):
            st.button("Refresh", icon=":material/refresh:", shortcut="L")
            label_buttons.undo_button(page, undoable)
    if questions.is_awaited(page) and not questions.changes(page, names):  # there is no key that a refresh could lose
        draw_live(page, questions.await_change, questions.POLL_EVERY_S, names)


def nothing_queued(queue: QueueFilter) -> tuple[str, str]:
    """Return that no frame waits, and how frames come into the queue."""
    if queue.only_questions:
        return "No questions", QUESTION_NOTE
    return "No frames to review", SAMPLE_NOTE if queue.only_sampled else QUEUE_NOTE


def searched_frame(page: PageContext, by_name: dict[str, Station]) -> None:
    """Draw the search for a frame, such as one of a defect that a customer found, and the frame that was selected."""
    query = frame_search.query_form(page, by_name)
    selected = frame_search.selected_id()
    with page.read() as session:
        frames = frame_search.run_query(page, session, query) if query else []
        details = frame_search.find_details(page, session, selected) if selected else None
        analysis = frame_search.analyse_pass(session, details.frame) if details else None
        undoable = labelling.last_submission(session, page.actor.name, review_grid.SIZE)
    if query and not frames:
        st.info(frame_search.nothing_found(query), icon=":material/search_off:")
    if query is None and details is None:
        st.info("Choose the station that inspected the part.", icon=":material/arrow_upward:")
    frame_search.results(page, frames, selected)
    if details is None or analysis is None:
        return
    with swapped_at_once(REVIEWED, str(details.shown)), st.container(border=True, key="card-review"):
        frame_view.header(page, details, None)
        toolbar = st.container(key="toolbar")
        frame_search.explain_pass(page, details.frame, analysis)
        frame_view.body(page, details)
        frame_view.controls(page, toolbar, details, undoable, queued=False)


def recent_labels(page: PageContext) -> None:
    """Draw the person's recent labels, so that they can be checked and undone."""
    with page.read() as session:
        own_reviews = without_undone(reviews.recent(session, by=page.actor.name, limit=2 * RECENT_LABELS))
        frames: dict[UUID, Verdict] = {}
        for review in own_reviews:
            try:
                frames[review.frame_id] = verdicts.get(session, review.frame_id)
            except NotFound:  # retention deletes verdicts, never reviews
                continue
        current = labels.current(session, [review.frame_id for review in own_reviews])
    frame_view.recent_labels(page, own_reviews, frames, {labelled.review_id for labelled in current.values()})


def without_undone(recent: Sequence[Review]) -> list[Review]:
    """Return the newest reviews without those that were undone."""
    undone = {review.retracts_id for review in recent}
    remaining = [review for review in recent if review.label != "retracted" and review.id not in undone]
    return remaining[:RECENT_LABELS]
