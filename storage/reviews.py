"""Reviews: a person's word on a verdict. Every word is kept; the newest that was not taken back counts.

Which word counts of each frame, and how many there are, is asked of `storage.reviewed`; what waits for a word, of
`storage.review_queue`. A flagged frame that is called a defect was caught, one called a false alarm is a false reject;
a passed frame called a defect was missed (an escape), one called a false alarm is confirmed as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.orm import Session

from storage import review_queue, reviewed
from storage.errors import NotFound, RuleBroken
from storage.review_queue import CLAIM, Decided
from storage.reviewed import WORDS, Word
from storage.rows import columns, insert_into
from storage.tables import ReviewedFrameRow, ReviewRow, VerdictRow
from storage.text import fit

Kept = Literal["defect", "false_alarm", "unsure", "taken_back"]

MAX_TAGS = 16


@dataclass(frozen=True, slots=True)
class Saying:
    """What a person says of a frame. `said_id` is made once where it is said: said again, it counts once."""

    said_id: UUID
    frame_id: UUID
    word: Word
    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """One kept word; `takes_back` is the id of the review that a word ``taken_back`` takes back."""

    id: int
    said_id: UUID
    frame_id: UUID
    station_id: int
    captured_at: datetime
    decision: str
    word: Kept
    takes_back: int | None
    tags: tuple[str, ...]
    note: str
    by: str
    at: datetime

    @property
    def is_escape(self) -> bool:
        """A defect that was missed."""
        return self.decision == "pass" and self.word == "defect"


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a saying: `is_new` is False when it had been said before and nothing was written."""

    review: Review
    is_new: bool


def say(session: Session, saying: Saying, by: str, at: datetime) -> Said:
    """Keep one word; raises `RuleBroken` for an unknown word or a `said_id` used for something else, `NotFound`."""
    return say_all(session, [saying], by, at)[0]


def say_all(session: Session, sayings: Sequence[Saying], by: str, at: datetime) -> list[Said]:
    """Keep several words, all or none, in order; a saying that was kept before is given back as it was kept."""
    for saying in sayings:
        _require_sound(saying)
    decided = _held(session, [saying.frame_id for saying in sayings])
    said = [_keep(session, saying, decided[saying.frame_id], by, at) for saying in sayings]
    review_queue.take_out(session, [one.review.frame_id for one in said if one.is_new])
    return said


def take_back(session: Session, said_id: UUID, review_id: int, by: str, at: datetime) -> Said:
    """Undo: the word before it counts again, or the frame waits in the queue again, claimed by `by`.

    Only the word that counts can be taken back; done twice it counts once. Raises `NotFound`, `RuleBroken`.
    """
    review = get(session, review_id)
    verdict = _held(session, [review.frame_id])[review.frame_id]
    row = _row_of(review) | {"said_id": said_id, "word": "taken_back", "takes_back": review_id, "tags": [], "note": ""}
    already = _kept(session, ReviewRow.takes_back == review_id)
    if already is not None:
        return Said(already, is_new=False)
    counting = session.scalar(select(ReviewedFrameRow.review_id).where(ReviewedFrameRow.frame_id == review.frame_id))
    if counting != review_id:
        raise RuleBroken("Only the newest word on a frame can be taken back.")
    kept = _insert(session, row | {"by": fit(by, 64), "at": at})
    if kept is None:
        return Said(_require_kept(session, ReviewRow.takes_back == review_id, review.frame_id), is_new=False)
    _count_the_newest(session, verdict)
    if not reviewed.current(session, [review.frame_id]):
        review_queue.put_back(session, verdict, by, at + CLAIM)
    return Said(kept, is_new=True)


def get(session: Session, review_id: int) -> Review:
    """Raises `NotFound`."""
    found = _kept(session, ReviewRow.id == review_id)
    if found is None:
        raise NotFound(f"There is no review {review_id}: `andon review list` shows those there are.")
    return found


def history(session: Session, frame_id: UUID) -> list[Review]:
    """Everything that was said of a frame, newest first."""
    query = select(*_COLUMNS).where(ReviewRow.frame_id == frame_id).order_by(ReviewRow.id.desc())
    return [_review(row) for row in session.execute(query)]


def last_of(session: Session, by: str) -> Review | None:
    """The newest word of this person that is not taken back and counts: what undo takes back."""
    query = (
        select(*_COLUMNS)
        .join(
            ReviewedFrameRow,
            and_(ReviewedFrameRow.frame_id == ReviewRow.frame_id, ReviewedFrameRow.review_id == ReviewRow.id),
        )
        .where(ReviewRow.by == by)
        .order_by(ReviewRow.id.desc())
        .limit(1)
    )
    row = session.execute(query).first()
    return None if row is None else _review(row)


def recent(
    session: Session,
    station_id: int | None = None,
    *,
    by: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[Review]:
    """Every word said, newest first; the next page begins before the last id of this one."""
    query = select(*_COLUMNS).order_by(ReviewRow.id.desc()).limit(limit)
    if station_id is not None:
        query = query.where(ReviewRow.station_id == station_id)
    if by is not None:
        query = query.where(ReviewRow.by == by)
    if before_id is not None:
        query = query.where(ReviewRow.id < before_id)
    return [_review(row) for row in session.execute(query)]


_COLUMNS = columns(ReviewRow, Review)


def _held(session: Session, frame_ids: Sequence[UUID]) -> dict[UUID, Decided]:
    """What was decided of the frames, each held until the transaction ends: two who speak of one come one by one."""
    query = select(*_DECIDED).where(VerdictRow.frame_id.in_(frame_ids)).order_by(VerdictRow.frame_id)
    rows = session.execute(query.with_for_update())
    found = {row.frame_id: Decided(*row) for row in rows}
    missing = [frame_id for frame_id in frame_ids if frame_id not in found]
    if missing:
        raise NotFound(f"There is no verdict on frame {missing[0]}.")
    return found


_DECIDED = tuple(getattr(VerdictRow, name) for name in Decided._fields)


def _keep(session: Session, saying: Saying, decided: Decided, by: str, at: datetime) -> Said:
    row = {
        "said_id": saying.said_id,
        "frame_id": saying.frame_id,
        "station_id": decided.station_id,
        "captured_at": decided.captured_at,
        "decision": decided.decision,
        "word": saying.word,
        "takes_back": None,
        "tags": list(dict.fromkeys(fit(tag.strip(), 64) for tag in saying.tags)),
        "note": fit(saying.note, 1000),
        "by": fit(by, 64),
        "at": at,
    }
    kept = _insert(session, row)
    if kept is not None:
        _count_the_newest(session, decided)
        return Said(kept, is_new=True)
    before = _require_kept(session, ReviewRow.said_id == saying.said_id, saying.frame_id)
    if (before.frame_id, before.word) != (saying.frame_id, saying.word):
        raise RuleBroken(f"The saying {saying.said_id} was used for another word already: make a new id for each.")
    return Said(before, is_new=False)


def _insert(session: Session, row: dict[str, Any]) -> Review | None:
    """The kept row, None where it was said (or taken back) before, in this moment by another process, too."""
    statement = insert_into(session, ReviewRow).values(**row).on_conflict_do_nothing().returning(*_COLUMNS)
    made = session.execute(statement).first()
    return None if made is None else _review(made)


def _count_the_newest(session: Session, decided: Decided) -> None:
    """Make the newest word that was not taken back the one that counts."""
    frame_id = decided.frame_id
    session.execute(delete(ReviewedFrameRow).where(ReviewedFrameRow.frame_id == frame_id))
    back = select(ReviewRow.takes_back).where(ReviewRow.frame_id == frame_id, ReviewRow.takes_back.is_not(None))
    query = (
        select(*_COLUMNS)
        .where(ReviewRow.frame_id == frame_id, ReviewRow.word != "taken_back", ReviewRow.id.not_in(back))
        .order_by(ReviewRow.id.desc())
        .limit(1)
    )
    row = session.execute(query).first()
    if row is not None:
        review = _review(row)
        counting = _row_of(review) | {"review_id": review.id, "sampled": decided.sampled}
        session.execute(insert(ReviewedFrameRow).values(**counting))


def _row_of(review: Review) -> dict[str, Any]:
    return {
        "frame_id": review.frame_id,
        "station_id": review.station_id,
        "captured_at": review.captured_at,
        "decision": review.decision,
        "word": review.word,
        "tags": list(review.tags),
    }


def _kept(session: Session, where: Any) -> Review | None:
    row = session.execute(select(*_COLUMNS).where(where)).first()
    return None if row is None else _review(row)


def _require_kept(session: Session, where: Any, frame_id: UUID) -> Review:
    found = _kept(session, where)
    if found is None:
        raise RuleBroken(f"Somebody speaks of frame {frame_id} at this moment: look at it again.")
    return found


def _review(row: Any) -> Review:
    return Review(**(dict(row._mapping) | {"tags": tuple(row.tags)}))


def _require_sound(saying: Saying) -> None:
    if saying.word not in WORDS:
        raise RuleBroken(f"A review says one of {', '.join(WORDS)}.")
    if len(saying.tags) > MAX_TAGS or not all(tag.strip() for tag in saying.tags):
        raise RuleBroken(f"A review names at most {MAX_TAGS} defect types, none of them empty.")
