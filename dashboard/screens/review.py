"""Review: people say of flagged and borderline frames what they are, one by one, many at once, or of one looked up.

This page never draws itself anew while somebody looks: a key pressed in that moment would not be heard.
"""

from uuid import UUID

import streamlit as st

from dashboard import (
    acting,
    identity,
    keys,
    missed,
    opening,
    review_facts,
    review_grid,
    review_view,
    reviewing,
    saying,
    theme,
    tiles,
)
from storage import finding, review_queue, reviewed, reviews, stations, verdicts
from storage.errors import NotFound, StorageError
from storage.review_queue import Order, Wanted
from storage.reviews import Review
from storage.stations import Station
from storage.verdicts import Verdict

ORDERS: dict[str, Order] = {"Newest": "newest", "Most uncertain": "most_uncertain", "Random sample": "newest"}
SAMPLE = "Random sample"
ONE, GRID, FIND = "One by one", "Grid", "Find a frame"
LAST_WORDS = 8
WHAT_COMES = {
    False: "flagged and borderline frames come here by themselves, and a few of all that passed",
    True: "of the frames that pass, some are drawn at random; how many says each station's setting",
}


def review_page() -> None:
    st.html(theme.desk_sheet())
    acting.say_what_came_of_it()
    with opening.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    if not places:
        st.subheader("No stations yet")
        st.markdown("There is nothing to review before a station has scored its first frames.")
        return
    mode, wanted = choices(places)
    if not identity.may("review.say"):
        st.info("You may look at this page; an inspector says what frames are.", icon=":material/visibility:")
    try:
        if mode == FIND:
            reviewing.let_go()
            look_up(places)
        else:
            queue(mode, wanted, {place.id: place.name for place in places.values()})
            st.fragment(reviewing.keep_holding, run_every=reviewing.RENEW_EVERY_S)()
        my_last_words()
        keys.hand_on()
    except StorageError as error:
        reviewing.trouble(error)


def choices(places: dict[str, Station]) -> tuple[str, Wanted]:
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
    return mode or ONE, Wanted(places[name].id if name else None, ORDERS[order], only_sampled=order == SAMPLE)


def tally() -> None:
    """What was said today, by this person and in all."""
    now = opening.now()
    today = opening.midnight(now)
    with opening.reading() as session:
        counts = reviewed.counts(session, since=today)
        mine = finding.said_since(session, identity.actor().name, today)
    st.html(review_facts.tally(mine, counts))


def queue(mode: str, wanted: Wanted, names: dict[int, str]) -> None:
    """The next frames of the queue, with the words for them."""
    waits = reviewing.hold(wanted, review_grid.SIZE if mode == GRID else 1)
    if not waits:
        nothing_waits(wanted)
        return
    with opening.reading() as session:
        frames = [verdicts.get(session, one.frame_id) for one in waits]
        undoes = review_view.undoes(session, identity.actor().name, review_grid.SIZE)
        number = review_queue.count(session, wanted)
        if mode == GRID:
            shown = saying.shown(session, [frame.frame_id for frame in frames])
        else:
            sight = review_view.sight(session, frames[0])
    if mode == GRID:
        review_grid.grid(frames, shown, names, undoes)
        return
    with st.container(border=True, key="card-review"):
        review_view.head(sight, number, sampled=waits[0].sampled)
        bar = st.container(key="bar")
        review_view.body(sight)
        review_view.words_bar(bar, sight, undoes, queued=True)


def nothing_waits(wanted: Wanted) -> None:
    """Says why there is no frame, and lets the last word be taken back all the same."""
    with opening.reading() as session:
        number = review_queue.count(session, wanted)
        undoes = review_view.undoes(session, identity.actor().name, review_grid.SIZE)
    with st.container(border=True, key="card-review"):
        if number and reviewing.skipped():
            st.html(tiles.heading("You have skipped what is left", f"{number} waiting"))
            st.button("Look at them again", icon=":material/replay:", on_click=reviewing.skip_nothing, type="primary")
        elif number:
            st.html(tiles.heading("Somebody else is looking at what is left", f"{number} waiting"))
        else:
            st.html(tiles.heading("Nothing waits for a word", WHAT_COMES[wanted.only_sampled]))
        with st.container(horizontal=True, gap="xsmall"):
            st.button("Look again", icon=":material/refresh:", shortcut="L")
            review_view.undo_button(undoes)


def look_up(places: dict[str, Station]) -> None:
    """A frame that somebody asks about, such as a defect that the customer found."""
    asked = missed.form(places)
    named = st.query_params.get(missed.FRAME) or st.session_state.get(missed.FRAME)
    chosen = as_id(named)
    with opening.reading() as session:
        frames = missed.found(session, asked) if asked else []
        sight = missed.looked_up(session, chosen) if chosen else None
        why = missed.why(session, sight.frame) if sight else None
        undoes = review_view.undoes(session, identity.actor().name, review_grid.SIZE)
    if asked and not frames:
        st.info(missed.none_found(asked), icon=":material/search_off:")
    if asked is None and sight is None:
        st.info("Choose the station where the part was looked at.", icon=":material/arrow_upward:")
    missed.results(frames, chosen)
    if sight is None or why is None:
        return
    with st.container(border=True, key="card-review"):
        review_view.head(sight, None)
        bar = st.container(key="bar")
        missed.explain(sight.frame, why)
        review_view.body(sight)
        review_view.words_bar(bar, sight, undoes, queued=False)


def as_id(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def my_last_words() -> None:
    """What this person said last, so that it can be looked at and taken back."""
    with opening.reading() as session:
        mine = said_by(reviews.recent(session, by=identity.actor().name, limit=2 * LAST_WORDS))
        frames: dict[object, Verdict] = {}
        for one in mine:
            try:
                frames[one.frame_id] = verdicts.get(session, one.frame_id)
            except NotFound:  # retention may delete verdicts, never reviews
                continue
        counting = reviewed.current(session, [one.frame_id for one in mine])
    review_view.last_words(opening.now(), mine, frames, {one.review_id for one in counting.values()})


def said_by(recent: list[Review]) -> list[Review]:
    """The newest words, without those that were taken back."""
    gone = {one.takes_back for one in recent}
    return [one for one in recent if one.word != "taken_back" and one.id not in gone][:LAST_WORDS]


review_page()
