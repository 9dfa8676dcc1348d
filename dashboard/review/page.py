"""Review: people say of flagged and borderline frames what they are, one by one, many at once, or of one looked up.

This page never draws itself anew while somebody looks: a key pressed in that moment would not be heard.
"""

from uuid import UUID

import streamlit as st

from dashboard import context, mutations, theme
from dashboard.auth import identity
from dashboard.components import elements, shortcuts
from dashboard.review import frame_search, frame_view, grid, labelling, review_html, review_session
from storage.errors import NotFound, StorageError
from storage.line import stations, verdicts
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue, reviews
from storage.review.review_queue import QueueFilter, QueueOrder
from storage.review.reviews import Review

ORDERS: dict[str, QueueOrder] = {"Newest": "newest", "Most uncertain": "most_uncertain", "Random sample": "newest"}
SAMPLE = "Random sample"
ONE, GRID, FIND = "One by one", "Grid", "Find a frame"
LAST_WORDS = 8
WHAT_COMES = {
    False: "flagged and borderline frames come here by themselves, and a few of all that passed",
    True: "of the frames that pass, some are drawn at random; how many says each station's setting",
}


def review_page() -> None:
    st.html(theme.desk_sheet())
    mutations.say_what_came_of_it()
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    if not places:
        st.subheader("No stations yet")
        st.markdown("There is nothing to review before a station has scored its first frames.")
        return
    mode, wanted = choices(places)
    if not identity.may("review.label"):
        st.info("You may look at this page; an inspector says what frames are.", icon=":material/visibility:")
    try:
        if mode == FIND:
            review_session.let_go()
            look_up(places)
        else:
            queue(mode, wanted, {place.id: place.name for place in places.values()})
            st.fragment(review_session.keep_holding, run_every=review_session.RENEW_EVERY_S)()
        my_last_words()
        shortcuts.hand_on()
    except StorageError as error:
        review_session.trouble(error)


def choices(places: dict[str, Station]) -> tuple[str, QueueFilter]:
    """How to look, in which order, and at which station."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="choices"):
        mode = st.segmented_control(
            "How",
            [ONE, GRID, FIND],
            default=ONE,
            required=True,
            key="how",
            bind="query-params",
            label_visibility="collapsed",
        )
        name, order = None, "Newest"
        if mode != FIND:
            name = st.selectbox(
                "Station",
                list(places),
                index=None,
                key="station",
                bind="query-params",
                placeholder="All stations",
                label_visibility="collapsed",
                width=220,
            )
            order = (
                st.segmented_control(
                    "First",
                    list(ORDERS),
                    default="Newest",
                    required=True,
                    key="first",
                    bind="query-params",
                    label_visibility="collapsed",
                )
                or "Newest"
            )
        with st.container(key="tally", width="content"):
            tally()
    return mode or ONE, QueueFilter(places[name].id if name else None, ORDERS[order], only_sampled=order == SAMPLE)


def tally() -> None:
    """What was said today, by this person and in all."""
    now = context.now()
    today = context.midnight(now)
    with context.reading() as session:
        counts = labels.counts(session, since=today)
        mine = reviews.count_labelled_since(session, identity.actor().name, today)
    st.html(review_html.tally(mine, counts))


def queue(mode: str, wanted: QueueFilter, names: dict[int, str]) -> None:
    """The next frames of the queue, with the words for them."""
    waits = review_session.hold(wanted, grid.SIZE if mode == GRID else 1)
    if not waits:
        nothing_waits(wanted)
        return
    with context.reading() as session:
        frames = [verdicts.get(session, one.frame_id) for one in waits]
        undoes = frame_view.undoes(session, identity.actor().name, grid.SIZE)
        number = review_queue.count(session, wanted)
        if mode == GRID:
            shown = labelling.shown(session, [frame.frame_id for frame in frames])
        else:
            sight = frame_view.sight(session, frames[0])
    if mode == GRID:
        grid.grid(frames, shown, names, undoes)
        return
    with st.container(border=True, key="card-review"):
        frame_view.head(sight, number, sampled=waits[0].sampled)
        bar = st.container(key="bar")
        frame_view.body(sight)
        frame_view.words_bar(bar, sight, undoes, queued=True)


def nothing_waits(wanted: QueueFilter) -> None:
    """Says why there is no frame, and lets the last word be taken back all the same."""
    with context.reading() as session:
        number = review_queue.count(session, wanted)
        undoes = frame_view.undoes(session, identity.actor().name, grid.SIZE)
    with st.container(border=True, key="card-review"):
        if number and review_session.skipped():
            st.html(elements.heading("You have skipped what is left", f"{number} waiting"))
            st.button(
                "Look at them again", icon=":material/replay:", on_click=review_session.skip_nothing, type="primary"
            )
        elif number:
            st.html(elements.heading("Somebody else is looking at what is left", f"{number} waiting"))
        else:
            st.html(elements.heading("Nothing waits for a word", WHAT_COMES[wanted.only_sampled]))
        with st.container(horizontal=True, gap="xsmall"):
            st.button("Look again", icon=":material/refresh:", shortcut="L")
            frame_view.undo_button(undoes)


def look_up(places: dict[str, Station]) -> None:
    """A frame that somebody asks about, such as a defect that the customer found."""
    asked = frame_search.form(places)
    named = st.query_params.get(frame_search.FRAME) or st.session_state.get(frame_search.FRAME)
    chosen = as_id(named)
    with context.reading() as session:
        frames = frame_search.found(session, asked) if asked else []
        sight = frame_search.looked_up(session, chosen) if chosen else None
        why = frame_search.why(session, sight.frame) if sight else None
        undoes = frame_view.undoes(session, identity.actor().name, grid.SIZE)
    if asked and not frames:
        st.info(frame_search.none_found(asked), icon=":material/search_off:")
    if asked is None and sight is None:
        st.info("Choose the station where the part was looked at.", icon=":material/arrow_upward:")
    frame_search.results(frames, chosen)
    if sight is None or why is None:
        return
    with st.container(border=True, key="card-review"):
        frame_view.head(sight, None)
        bar = st.container(key="bar")
        frame_search.explain(sight.frame, why)
        frame_view.body(sight)
        frame_view.words_bar(bar, sight, undoes, queued=False)


def as_id(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def my_last_words() -> None:
    """What this person said last, so that it can be looked at and taken back."""
    with context.reading() as session:
        mine = said_by(reviews.recent(session, by=identity.actor().name, limit=2 * LAST_WORDS))
        frames: dict[object, Verdict] = {}
        for one in mine:
            try:
                frames[one.frame_id] = verdicts.get(session, one.frame_id)
            except NotFound:  # retention may delete verdicts, never reviews
                continue
        counting = labels.current(session, [one.frame_id for one in mine])
    frame_view.last_words(context.now(), mine, frames, {one.review_id for one in counting.values()})


def said_by(recent: list[Review]) -> list[Review]:
    """The newest words, without those that were taken back."""
    gone = {one.retracts_id for one in recent}
    return [one for one in recent if one.label != "retracted" and one.id not in gone][:LAST_WORDS]


review_page()
