"""Verdicts: the decision on each frame, exactly one per frame, with everything it was made with."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from storage.areas.regions import Region
from storage.database.rows import columns_of, insert_new, row_of
from storage.database.tables import StationRow, UtcDateTime, VerdictRow
from storage.database.truncate import truncate, truncate_or_none
from storage.errors import InvalidChange, NotFound
from storage.line import stations
from storage.line.arrival import arrival
from storage.line.decision import SCORED, Decision, is_borderline
from storage.outputs import outbox
from storage.review import review_queue
from storage.review.random_sample import is_sampled
from storage.rollups import score_rollups, verdict_rollups

Ts = TypeVarTuple("Ts")

STREAM_ROWS = 1000
"""Rows that a stream of verdicts reads at a time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Score, threshold, decision and provenance of one frame.

    `score`, `threshold` and the model's fields are None exactly when the frame was not scored: its station has no
    normal set (``no_reference``), or it is a bad picture. `review_limit` is None then too, and for verdicts of former
    versions. Only a bad picture has a `picture_problem`; its normal set, if any, is the one that it was measured
    against. `captured_at` is when the frame arrived where the camera's own time can't be true; that time is in
    `stamped_at`, otherwise None. `regions` is where a flagged or borderline frame exceeds its limit, the worst first;
    empty for other scored frames, and None without a score and for verdicts of former versions. `mask_version` is that
    of the mask by which parts of the picture were not inspected; 0 without one.
    """

    frame_id: UUID
    station_id: int
    captured_at: datetime
    published_at: datetime
    decided_at: datetime
    decision: Decision
    score: float | None
    threshold: float | None
    components: Mapping[str, float]
    normal_set_id: int | None
    detector: str | None
    model_id: str | None
    weights_sha256: str | None
    image_reference: str
    content_type: str
    map_reference: str | None
    part_id: str | None
    truth: str | None
    worker: str
    topic: str
    partition: int
    offset: int
    stamped_at: datetime | None = None
    picture_problem: str | None = None
    review_limit: float | None = None
    regions: tuple[Region, ...] | None = None
    mask_version: int = 0

    @property
    def is_borderline(self) -> bool:
        """Whether the frame passed and still goes to review; see `storage.line.decision.is_borderline`."""
        return is_borderline(self.decision, self.score, self.review_limit)

    @property
    def arrived_at(self) -> datetime:
        """Return when the frame arrived, by a clock that can be believed."""
        return arrival(self.published_at, self.decided_at)


def record(session: Session, verdicts: Sequence[Verdict]) -> set[UUID]:
    """Write a batch, leaving out frames that already have a verdict; return the ids of the frames that are new.

    What belongs to a new verdict is written with it: its totals, its place in the review queue and in the outbox.

    Raises `InvalidChange` for a score, threshold or component that is not finite, or that is missing or there against
    the decision.
    """
    first_of_frame: dict[UUID, Verdict] = {}
    for verdict in verdicts:
        _require_valid(verdict)
        first_of_frame.setdefault(verdict.frame_id, verdict)
    drawn = _sampled(session, first_of_frame.values())
    rows = [_row(verdict) | {"sampled": frame_id in drawn} for frame_id, verdict in first_of_frame.items()]
    new = insert_new(session, VerdictRow, rows, "frame_id")
    counted = [_counted(first_of_frame[frame_id]) for frame_id in new]
    verdict_rollups.add(session, counted)
    score_rollups.add(session, counted)
    review_queue.enqueue(session, [_decided(first_of_frame[frame_id], frame_id in drawn) for frame_id in new])
    outbox.enqueue(session, new)
    return new


def get(session: Session, frame_id: UUID) -> Verdict:
    """Return the verdict on a frame; raises `NotFound`."""
    row = session.execute(select(*_COLUMNS).where(VerdictRow.frame_id == frame_id)).first()
    if row is None:
        raise NotFound(f"There is no verdict on frame {frame_id}.")
    return Verdict(*row)


def latest(session: Session, station_id: int) -> Verdict | None:
    """Return the station's verdict that was recorded last; None without any."""
    query = select(*_COLUMNS).where(VerdictRow.station_id == station_id).order_by(VerdictRow.id.desc()).limit(1)
    row = session.execute(query).first()
    return None if row is None else Verdict(*row)


def latest_flagged(session: Session, since: datetime) -> dict[int, Verdict]:
    """Return by station id the flagged frame that was captured last since a time, where there is one."""
    rows = session.execute(_LATEST_FLAGGED, {"since": since})
    return {verdict.station_id: verdict for verdict in (Verdict(*row) for row in rows)}


def recent(
    session: Session,
    station_id: int | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    decision: Decision | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Verdict]:
    """Return verdicts on frames captured in [since, until), the newest captured first."""
    query = _newest_first(station_id, since, until, decision).limit(limit).offset(offset)
    return [Verdict(*row) for row in session.execute(query)]


def stream(
    session: Session,
    station_id: int | None = None,
    *,
    since: datetime | None = None,
    decision: Decision | None = None,
) -> Iterator[Verdict]:
    """Yield every verdict on frames captured since a time, the newest first, in memory for `STREAM_ROWS` of them."""
    query = _newest_first(station_id, since, None, decision).execution_options(yield_per=STREAM_ROWS)
    for row in session.execute(query):
        yield Verdict(*row)


def count(
    session: Session,
    station_id: int | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    decision: Decision | None = None,
) -> int:
    """Return the number of verdicts on frames captured in [since, until), read from rollups."""
    cells = verdict_rollups.rollup_rows(since, until, station_id)
    row = session.execute(select(*(func.sum(cells.c[name]) for name in verdict_rollups.COUNTS))).one()
    frames, flagged, no_reference, bad_pictures, _ = (int(total or 0) for total in row)
    by_decision: Mapping[Decision, int] = {
        "pass": frames - flagged - no_reference - bad_pictures,
        "flag": flagged,
        "no_reference": no_reference,
        "bad_picture": bad_pictures,
    }
    return frames if decision is None else by_decision[decision]


_COLUMNS = columns_of(VerdictRow, Verdict)
_NEWEST_FIRST = (VerdictRow.captured_at.desc(), VerdictRow.id.desc())

# Built once, because building it takes longer than executing it: one search of an index per station.
_newer = VerdictRow.__table__.alias("newer")
_LATEST_FLAGGED = (
    select(*_COLUMNS)
    .select_from(StationRow)
    .join(
        VerdictRow,
        VerdictRow.id
        == select(_newer.c.id)
        .where(
            _newer.c.station_id == StationRow.id,
            _newer.c.decision == "flag",
            _newer.c.captured_at >= bindparam("since", type_=UtcDateTime),
        )
        .order_by(_newer.c.captured_at.desc(), _newer.c.id.desc())
        .limit(1)
        .scalar_subquery(),
    )
)


def _newest_first(
    station_id: int | None, since: datetime | None, until: datetime | None, decision: Decision | None
) -> Select[Any]:
    query: Select[Any] = _within(select(*_COLUMNS), station_id, since, until)
    if decision is not None:
        query = query.where(VerdictRow.decision == decision)
    return query.order_by(*_NEWEST_FIRST)


def _within(query: Select[*Ts], station_id: int | None, since: datetime | None, until: datetime | None) -> Select[*Ts]:
    if station_id is not None:
        query = query.where(VerdictRow.station_id == station_id)
    if since is not None:
        query = query.where(VerdictRow.captured_at >= since)
    if until is not None:
        query = query.where(VerdictRow.captured_at < until)
    return query


def _counted(verdict: Verdict) -> verdict_rollups.RollupInput:
    return verdict_rollups.RollupInput(
        verdict.station_id,
        verdict.captured_at,
        verdict.decision,
        verdict.score,
        verdict.threshold,
        verdict.is_borderline,
    )


def _sampled(session: Session, verdicts: Collection[Verdict]) -> set[UUID]:
    """Return the passed frames that belong to their station's random sample."""
    one_in = stations.sample_rates(session, {verdict.station_id for verdict in verdicts})
    return {
        verdict.frame_id
        for verdict in verdicts
        if verdict.decision == "pass" and is_sampled(verdict.frame_id, one_in.get(verdict.station_id, 0))
    }


def _decided(verdict: Verdict, sampled: bool) -> review_queue.QueueableVerdict:
    return review_queue.QueueableVerdict(
        verdict.frame_id,
        verdict.station_id,
        verdict.captured_at,
        verdict.decision,
        verdict.score,
        verdict.threshold,
        sampled,
        verdict.review_limit,
    )


def _row(verdict: Verdict) -> dict[str, Any]:
    return row_of(verdict) | {
        "components": dict(verdict.components),
        "part_id": truncate_or_none(verdict.part_id, 255),
        "truth": truncate_or_none(verdict.truth, 120),
        "content_type": truncate(verdict.content_type, 40),
        "worker": truncate(verdict.worker, 120),
        "picture_problem": truncate_or_none(verdict.picture_problem, 40),
    }


def _require_valid(verdict: Verdict) -> None:
    is_scored = verdict.decision in SCORED
    present = (verdict.score, verdict.threshold, verdict.detector, verdict.model_id)
    if any((value is not None) != is_scored for value in present):
        raise InvalidChange(
            f"The verdict on frame {verdict.frame_id} must have score, threshold and model exactly when its decision "
            f"is one of {', '.join(SCORED)}."
        )
    if verdict.review_limit is not None and not is_scored:
        raise InvalidChange(f"The verdict on frame {verdict.frame_id} has a review limit but no score.")
    if verdict.decision != "bad_picture" and (verdict.normal_set_id is not None) != is_scored:
        raise InvalidChange(f"The verdict on frame {verdict.frame_id} has a normal set exactly when it has a score.")
    if (verdict.picture_problem is not None) != (verdict.decision == "bad_picture"):
        raise InvalidChange(
            f"The verdict on frame {verdict.frame_id} must have a picture problem exactly when it is a bad picture."
        )
    stored = (verdict.score, verdict.threshold, verdict.review_limit, *verdict.components.values())
    numbers = [value for value in stored if value is not None]
    if not all(math.isfinite(number) for number in numbers):
        raise InvalidChange(f"The verdict on frame {verdict.frame_id} has a score that is not a finite number.")
