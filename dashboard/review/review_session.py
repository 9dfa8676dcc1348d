"""The state of a person's review: the frames they hold, skipped and marked, and the actions of the buttons.

Everything that must not be lost is in the database; the session keeps only the state of the screen.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import streamlit as st
import structlog
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.components.storage_error import show_until_writable
from dashboard.context import PageContext
from dashboard.review import defect_types, labelling, questions
from dashboard.review.labelling import LabelResult, ShownFrame
from storage.actions import normal_sets as normal_set_actions
from storage.actions import reviews as review_actions
from storage.auth.actors import Actor
from storage.errors import StorageError, StorageUnavailable
from storage.review import labels, review_queue
from storage.review.labels import Label
from storage.review.review_queue import CLAIM_DURATION, QueuedFrame, QueueFilter
from storage.review.reviews import Review

log = structlog.get_logger()

CLAIMED, CLAIMED_SINCE, UNDO_OFFERED = "review_claimed", "review_claimed_since", "review_undo_offered"
SKIPPED, TYPES, MARKED, LAST_LABEL = "review_skipped", "review_types", "review_marked", "review_last_label"
MAX_SKIPPED = 200  # a query can exclude a limited number of frames; the oldest skipped ones appear again
RENEW_EVERY_S = CLAIM_DURATION.total_seconds() / 3
IDLE_LIMIT = timedelta(minutes=30)  # a browser left open gives its frames back after this time
TYPES_COUNTED_FOR = timedelta(days=365)


def claim_frames(page: PageContext, queue: QueueFilter, count: int) -> list[QueuedFrame]:
    """Return the next frames, claimed for this browser of a person; somebody without the right sees them unclaimed."""
    now = page.now()
    if not page.is_allowed("review.claim"):
        with page.read() as session:
            queued = review_queue.list_queued(session, queue, limit=count + len(skipped()))
        return [frame for frame in queued if frame.frame_id not in skipped()][:count]
    with page.database.begin() as session:
        frames = review_actions.claim(
            session, page.actor, queue, now, limit=count, skip=skipped(), browser=page.browser
        )
        claimed = [frame.frame_id for frame in frames]
        released = [frame_id for frame_id in st.session_state.get(CLAIMED, ()) if frame_id not in claimed]
        if released:
            review_actions.release(session, page.actor, released, browser=page.browser)
    st.session_state[CLAIMED] = claimed
    st.session_state[CLAIMED_SINCE] = now
    return frames


def renew_claims(page: PageContext) -> None:
    """Renew the claims on the frames on the screen; draws nothing."""
    claimed, now = st.session_state.get(CLAIMED, []), page.now()
    is_idle = now - st.session_state.get(CLAIMED_SINCE, now) > IDLE_LIMIT
    if not claimed or is_idle or not page.is_allowed("review.claim"):
        return
    try:
        with page.database.begin() as session:
            review_actions.renew(session, page.actor, claimed, now, browser=page.browser)
    except StorageError as error:  # a claim lasts for two more renewals; the next label shows a lasting error
        log.warning("review-claims-not-renewed", frames=len(claimed), error=str(error))


def release_claims(page: PageContext) -> None:
    """Give back the claimed frames when the person turns to something else."""
    claimed = st.session_state.pop(CLAIMED, [])
    if claimed and page.is_allowed("review.claim"):
        with page.database.begin() as session:
            review_actions.release(session, page.actor, claimed, browser=page.browser)


def skipped() -> list[UUID]:
    """Return the frames that the person skipped in this visit."""
    found: list[UUID] = st.session_state.get(SKIPPED, [])
    return found


def skip(frame_ids: Sequence[UUID]) -> None:
    """Put frames off until later in this visit; others may review them now."""
    earlier = [frame_id for frame_id in skipped() if frame_id not in frame_ids]
    st.session_state[SKIPPED] = [*earlier, *frame_ids][-MAX_SKIPPED:]


def clear_skipped() -> None:
    """Offer the skipped frames again."""
    st.session_state.pop(SKIPPED, None)


def label_frames(
    page: PageContext, frames: Sequence[ShownFrame], label: Label, *, propose_as_normal: bool = False
) -> None:
    """Label frames; a defect takes the defect types that are marked."""
    if not frames:
        mutations.refuse("No frame is selected. Select the frames to label.")
        return
    types = marked_types(frames[0].frame_id) if label == "defect" else []
    before = questions.limits_before(page, [frame.frame_id for frame in frames])
    result = _submit(page, frames, label, types, propose_as_normal=propose_as_normal)
    if result is not None and result.stored:
        questions.remember(before)
        st.session_state[LAST_LABEL] = result.stored[-1]
        for review in result.stored:
            st.session_state.get(MARKED, {}).pop(review.frame_id, None)


def label_and_propose(page: PageContext, frames: Sequence[ShownFrame]) -> None:
    """Label frames as false rejects and propose them for the next normal set."""
    label_frames(page, frames, "false_alarm", propose_as_normal=True)


def is_no_longer_shown(frames: Sequence[ShownFrame]) -> bool:
    """Return whether a press came from frames that left the screen; Streamlit keeps their buttons for a moment."""
    claimed = st.session_state.get(CLAIMED, [])
    return bool(claimed) and all(frame.frame_id not in claimed for frame in frames)


def offer_undo(review_ids: Sequence[int]) -> None:
    """Record which reviews the undo button undoes, so that two presses undo them once."""
    st.session_state[UNDO_OFFERED] = list(review_ids)


def undo_offered(page: PageContext, review_ids: Sequence[int]) -> None:
    """Undo reviews unless another press of the same button has done so."""
    if review_ids and st.session_state.pop(UNDO_OFFERED, None) == list(review_ids):
        undo(page, review_ids)


def undo(page: PageContext, review_ids: Sequence[int]) -> None:
    """Undo reviews: their frames return to the queue, and to this person first."""
    at = page.now()

    def change(session: Session, actor: Actor) -> None:
        labelling.undo_labels(session, actor, review_ids, at, browser=page.browser)

    if mutations.apply(page, change, ""):
        st.session_state.pop(LAST_LABEL, None)
        questions.forget()
        clear_skipped()


def toggle_type(page: PageContext, frame_id: UUID, name: str) -> None:
    """Mark a defect type on a frame, or remove its mark.

    The browser may send a type and the label after it in one message, and Streamlit handles the label first: a type
    that arrives after its label is added to it.
    """
    last: Review | None = st.session_state.get(LAST_LABEL)
    if last is None or last.frame_id != frame_id or last.label != "defect":
        st.session_state.setdefault(MARKED, {})[frame_id] = _toggled(marked_types(frame_id), name)
        return
    labelled = ShownFrame(frame_id, last.id)
    if is_no_longer_shown([labelled]):
        return
    result = _submit(page, [labelled], "defect", _toggled(list(last.tags), name))
    if result is not None and result.stored:
        st.session_state[LAST_LABEL] = result.stored[-1]


def marked_types(frame_id: UUID) -> list[str]:
    """Return the defect types that are marked on a frame which has no label yet."""
    found: list[str] = st.session_state.get(MARKED, {}).get(frame_id, [])
    return found


def types_of_station(page: PageContext, session: Session, station_id: int) -> list[str]:
    """Return a station's defect types, in an order that stays the same during the visit."""
    known: dict[int, list[str]] = st.session_state.setdefault(TYPES, {})
    if station_id not in known:
        counts = labels.tag_counts(session, station_id, since=page.now() - TYPES_COUNTED_FOR)
        known[station_id] = defect_types.suggested(counts)
    return known[station_id]


def add_type(page: PageContext, station_id: int, frame_id: UUID, field: str) -> None:
    """Add the defect type that was typed into a field, in place of the last one, and mark it."""
    name = str(st.session_state.get(field) or "").strip()
    st.session_state[field] = ""
    if not name:
        return
    known: dict[int, list[str]] = st.session_state.setdefault(TYPES, {})
    types = known.get(station_id, [])
    if name not in types:
        known[station_id] = [*types[: defect_types.MAX_TYPES - 1], name]
    if name not in marked_types(frame_id):
        toggle_type(page, frame_id, name)


def propose_as_normal(page: PageContext, frame_id: UUID) -> None:
    """Propose a frame for the station's next normal set."""
    mutations.apply(
        page,
        lambda session, actor: normal_set_actions.propose(session, actor, frame_id, page.now()),
        "Added to the candidates for the next normal set.",
    )


def show_queue_error(page: PageContext, error: StorageError) -> None:
    """Draw why the queue can't be read; the page goes on by itself once a database that is locked or away is back."""
    if isinstance(error, StorageUnavailable):
        show_until_writable(page, error, "No label was lost.")
        return
    st.error(f"{formatting.escape_message(str(error))} No label was lost.", icon=":material/database_off:")
    st.button("Try again", icon=":material/refresh:")


def _submit(
    page: PageContext,
    frames: Sequence[ShownFrame],
    label: Label,
    types: Sequence[str],
    *,
    propose_as_normal: bool = False,
) -> LabelResult | None:
    """Submit a label and return its result, or None when it was refused as a whole."""
    results: list[LabelResult] = []

    def change(session: Session, actor: Actor) -> None:
        results.append(
            labelling.label_frames(
                session, actor, frames, label, page.now(), tags=types, propose_as_normal=propose_as_normal
            )
        )

    if not mutations.apply(page, change, ""):
        return None
    (result,) = results
    if result.refusal and not is_no_longer_shown(frames):
        mutations.refuse(result.refusal)
    return result


def _toggled(names: list[str], name: str) -> list[str]:
    return [other for other in names if other != name] if name in names else [*names, name]
