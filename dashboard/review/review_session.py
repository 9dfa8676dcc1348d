"""A visit to the review page: which frames this person holds, skipped and marked, and what a press of a key does.

Everything that must not be lost is in the database; the visit keeps only what is being looked at now.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import streamlit as st
import structlog
from sqlalchemy.orm import Session

from dashboard import context, mutations
from dashboard.auth import identity
from dashboard.review import defect_types, labelling
from dashboard.review.labelling import LabelResult, ShownFrame
from storage.actions import normal_sets as normal_set_actions
from storage.actions import reviews as actions
from storage.auth.actors import Actor
from storage.errors import StorageError
from storage.review import labels, review_queue
from storage.review.labels import Label
from storage.review.review_queue import CLAIM_DURATION, QueuedFrame, QueueFilter
from storage.review.reviews import Review

log = structlog.get_logger()

HELD, SINCE, OFFERED = "review_held", "review_held_since", "review_undo_offered"
SKIPPED, TYPES, MARKED, SAID_LAST = "review_skipped", "review_types", "review_marked", "review_said_last"
MOST_SKIPPED = 200  # the oldest come again: a query can't leave out any number
RENEW_EVERY_S = CLAIM_DURATION.total_seconds() / 3
HELD_UNTOUCHED = timedelta(minutes=30)  # a browser that was left open gives its frames back after that


def hold(wanted: QueueFilter, how_many: int) -> list[QueuedFrame]:
    """The next frames, held for this person; those who may not review see what waits and hold nothing."""
    who, now = identity.actor(), context.now()
    if not identity.may("review.claim"):
        with context.reading() as session:
            waits = review_queue.list_queued(session, wanted, limit=how_many + len(skipped()))
        return [frame for frame in waits if frame.frame_id not in skipped()][:how_many]
    with context.changing() as session:
        frames = actions.claim(session, who, wanted, now, limit=how_many, skip=skipped())
        kept = {frame.frame_id for frame in frames}
        left = [frame_id for frame_id in st.session_state.get(HELD, ()) if frame_id not in kept]
        if left:
            actions.release(session, who, left)
    st.session_state[HELD] = [frame.frame_id for frame in frames]
    st.session_state[SINCE] = now
    return frames


def keep_holding() -> None:
    """Draws nothing: holds the frames on the screen a little longer, as often as a claim needs it."""
    held, now = st.session_state.get(HELD, []), context.now()
    if not held or now - st.session_state.get(SINCE, now) > HELD_UNTOUCHED or not identity.may("review.claim"):
        return
    try:
        with context.changing() as session:
            actions.renew(session, identity.actor(), held, now)
    except StorageError as error:  # the next press says so; until then a claim lasts for two more of these
        log.warning("review-claims-not-renewed", frames=len(held), error=str(error))


def let_go() -> None:
    """Give back what this visit holds, when it turns to something else."""
    held = st.session_state.pop(HELD, [])
    if held and identity.may("review.claim"):
        with context.changing() as session:
            actions.release(session, identity.actor(), held)


def skipped() -> list[UUID]:
    found: list[UUID] = st.session_state.get(SKIPPED, [])
    return found


def skip(frame_ids: Sequence[UUID]) -> None:
    """Look at these later, in this visit; others may have them now."""
    st.session_state[SKIPPED] = [*(one for one in skipped() if one not in frame_ids), *frame_ids][-MOST_SKIPPED:]


def skip_nothing() -> None:
    st.session_state.pop(SKIPPED, None)


def say(seen: Sequence[ShownFrame], label: Label, pick: bool = False) -> None:
    """The word for these frames; marked defect types go with a defect."""
    if not seen:
        mutations.refuse("No frame is chosen: choose the frames that the word is for.")
        return
    types = marked(seen[0].frame_id) if label == "defect" else []
    outcome = _said(seen, label, types, pick)
    if outcome is not None and outcome.kept:
        st.session_state[SAID_LAST] = outcome.kept[-1]
        for review in outcome.kept:
            st.session_state.get(MARKED, {}).pop(review.frame_id, None)


def _said(seen: Sequence[ShownFrame], label: Label, types: Sequence[str], pick: bool = False) -> LabelResult | None:
    found: list[LabelResult] = []

    def change(session: Session, who: Actor) -> None:
        found.append(labelling.say(session, who, seen, label, context.now(), tags=types, pick=pick))

    if not mutations.act(change, ""):
        return None
    if found[-1].refusal and not is_left_over(seen):
        mutations.refuse(found[-1].refusal)
    return found[-1]


def is_left_over(seen: Sequence[ShownFrame]) -> bool:
    """Whether a press came from a frame that this page has left: for a moment Streamlit keeps the buttons of both."""
    held = st.session_state.get(HELD, [])
    return bool(held) and all(one.frame_id not in held for one in seen)


def offer_undo(review_ids: Sequence[int]) -> None:
    """What the page offers to take back: only that is, and once, whatever buttons a press reaches."""
    st.session_state[OFFERED] = list(review_ids)


def undo_offered(review_ids: Sequence[int]) -> None:
    if review_ids and st.session_state.pop(OFFERED, None) == list(review_ids):
        undo(review_ids)


def undo(review_ids: Sequence[int]) -> None:
    """Take these words back: their frames wait again, and come to this person first."""
    at = context.now()
    if mutations.act(lambda session, who: labelling.take_back(session, who, review_ids, at), ""):
        st.session_state.pop(SAID_LAST, None)
        skip_nothing()


def mark(frame_id: UUID, name: str) -> None:
    """Mark a defect type, or mark it no more.

    The browser may send a type and the word after it in one go, and the word is then heard first: so a type that comes
    after the word is added to it.
    """
    last: Review | None = st.session_state.get(SAID_LAST)
    if last is not None and last.frame_id == frame_id and last.label == "defect":
        spoken = ShownFrame(frame_id, last.id)
        if is_left_over([spoken]):
            return
        outcome = _said([spoken], "defect", _toggled(list(last.tags), name))
        if outcome is not None and outcome.kept:
            st.session_state[SAID_LAST] = outcome.kept[-1]
        return
    st.session_state.setdefault(MARKED, {})[frame_id] = _toggled(marked(frame_id), name)


def marked(frame_id: UUID) -> list[str]:
    found: list[str] = st.session_state.get(MARKED, {}).get(frame_id, [])
    return found


def types_of(session: Session, station_id: int) -> list[str]:
    """A station's defect types, in an order that stays while the visit lasts."""
    known: dict[int, list[str]] = st.session_state.setdefault(TYPES, {})
    if station_id not in known:
        since = context.now() - timedelta(days=365)
        known[station_id] = defect_types.offered(labels.tag_counts(session, station_id, since=since))
    return known[station_id]


def add_type(station_id: int, frame_id: UUID, field: str) -> None:
    """A type that a person typed: it takes the place of the last one, and is marked."""
    name = str(st.session_state.get(field) or "").strip()
    st.session_state[field] = ""
    if not name:
        return
    known: dict[int, list[str]] = st.session_state.setdefault(TYPES, {})
    there = known.get(station_id, [])
    if name not in there:
        known[station_id] = [*there[: defect_types.KEYS - 1], name]
    if name not in marked(frame_id):
        mark(frame_id, name)


def pick(frame_id: UUID) -> None:
    """Want the frame in the station's next normal set."""
    mutations.act(
        lambda session, who: normal_set_actions.propose(session, who, frame_id, context.now()),
        "Picked for the next normal set.",
    )


def trouble(error: StorageError) -> None:
    """What to say when the queue can't be asked; nothing is lost by it."""
    st.error(f"{error} Nothing that was said is lost.", icon=":material/database_off:")
    st.button("Look again", icon=":material/refresh:")


def _toggled(names: list[str], name: str) -> list[str]:
    return [one for one in names if one != name] if name in names else [*names, name]
