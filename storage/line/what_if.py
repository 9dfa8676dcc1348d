"""What-if: which verdicts would differ with a draft normal set; the request to a scorer and its result.

The scorer scores `frames_to_rescore` with the draft, calibrates the draft's threshold and calls `compare`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.tables import ReviewedFrameRow, VerdictRow
from storage.errors import InvalidChange
from storage.line.decision import SCORED, decide
from storage.review.labels import Label

DEFAULT_FRAMES = 200
MAX_FRAMES = 5000


@dataclass(frozen=True, slots=True)
class WhatIfRequest:
    """The payload of a ``what_if`` job: this version of the station's normal sets, over the `last` frames.

    Raises `InvalidChange` for fewer than 1 or more than `MAX_FRAMES` frames.
    """

    version: int
    last: int = DEFAULT_FRAMES

    def __post_init__(self) -> None:
        if not 1 <= self.last <= MAX_FRAMES:
            raise InvalidChange(f"A what-if covers 1 to {MAX_FRAMES} frames.")

    def to_json(self) -> dict[str, Any]:
        """Return the payload as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> "WhatIfRequest":
        """Return the request of a payload."""
        return cls(int(payload["version"]), int(payload["last"]))


@dataclass(frozen=True, slots=True)
class FrameToRescore:
    """A frame with its verdict and the label in force, if any; `decision` is ``pass`` or ``flag``."""

    frame_id: UUID
    captured_at: datetime
    image_reference: str
    decision: str
    score: float
    threshold: float
    label: Label | None


@dataclass(frozen=True, slots=True)
class DecisionFlip:
    """A frame that would be decided the other way."""

    frame_id: UUID
    captured_at: datetime
    old_score: float
    old_threshold: float
    new_score: float
    label: Label | None


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Errors among labelled frames: good ones that are flagged, and defects that pass."""

    false_rejects: int
    escapes: int


@dataclass(frozen=True, slots=True)
class WhatIfResult:
    """The result of a ``what_if`` job.

    `not_rescored` counts frames whose image is missing or cannot be scored, `bad_pictures` those that would be bad
    pictures beside the version's normals, and `own` those that are among these: a frame compared with itself says
    nothing. `good` and `defects` are the numbers of rescored frames labelled a false alarm and a defect, of which the
    errors are a part. `normal_scores` holds the scores of the version's images, each against the others, by image
    reference.
    """

    version: int
    model_id: str
    threshold: float
    guarantee: str
    rescored: int
    not_rescored: int
    good: int
    defects: int
    to_pass: tuple[DecisionFlip, ...]
    to_flag: tuple[DecisionFlip, ...]
    before: ErrorCounts
    after: ErrorCounts
    normal_scores: Mapping[str, float] = field(default_factory=dict)
    bad_pictures: int = 0
    own: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        flips = {name: [_flip_to_json(flip) for flip in getattr(self, name)] for name in ("to_pass", "to_flag")}
        return asdict(self) | flips

    @classmethod
    def from_json(cls, result: Mapping[str, Any]) -> "WhatIfResult":
        """Return the result of a job's JSON object."""
        read = {name: tuple(_flip_from_json(flip) for flip in result[name]) for name in ("to_pass", "to_flag")}
        errors = {name: ErrorCounts(**result[name]) for name in ("before", "after")}
        return cls(**(dict(result) | read | errors))


def frames_to_rescore(session: Session, station_id: int, last: int) -> list[FrameToRescore]:
    """Return the newest labelled frames and, up to `last` in all, the newest others; labelled ones first."""
    labelled = select(*_VERDICT_COLUMNS, ReviewedFrameRow.label).join(
        ReviewedFrameRow, ReviewedFrameRow.frame_id == VerdictRow.frame_id
    )
    newest_labelled = session.execute(
        labelled.where(ReviewedFrameRow.station_id == station_id, ReviewedFrameRow.decision.in_(SCORED))
        .order_by(ReviewedFrameRow.captured_at.desc(), ReviewedFrameRow.frame_id.desc())
        .limit(last)
    )
    frames = [_frame(row, row.label) for row in newest_labelled]
    known = {frame.frame_id for frame in frames}
    newest = session.execute(
        select(*_VERDICT_COLUMNS)
        .where(VerdictRow.station_id == station_id, VerdictRow.decision.in_(SCORED))
        .order_by(VerdictRow.captured_at.desc(), VerdictRow.id.desc())
        .limit(last)
    )
    others = [_frame(row, None) for row in newest if row.frame_id not in known]
    return [*frames, *others][:last]


def compare(
    request: WhatIfRequest,
    model_id: str,
    threshold: float,
    guarantee: str,
    frames: Sequence[FrameToRescore],
    new_scores: Mapping[UUID, float],
    normal_scores: Mapping[str, float] | None = None,
    bad_pictures: int = 0,
    own: int = 0,
) -> WhatIfResult:
    """Compare verdicts with what they would be.

    `frames` are those that were to be scored; without a new score they are only counted. `own` are left out already.
    """
    scored = [frame for frame in frames if frame.frame_id in new_scores]
    flagged_before = {frame.frame_id for frame in scored if frame.decision == "flag"}
    flagged_after = {frame.frame_id for frame in scored if decide(new_scores[frame.frame_id], threshold) == "flag"}
    flips = [_flip(frame, new_scores) for frame in scored]
    good = {frame.frame_id for frame in scored if frame.label == "false_alarm"}
    defects = {frame.frame_id for frame in scored if frame.label == "defect"}
    return WhatIfResult(
        version=request.version,
        model_id=model_id,
        threshold=threshold,
        guarantee=guarantee,
        rescored=len(scored),
        not_rescored=len(frames) - len(scored) - bad_pictures,
        good=len(good),
        defects=len(defects),
        to_pass=tuple(flip for flip in flips if flip.frame_id in flagged_before - flagged_after),
        to_flag=tuple(flip for flip in flips if flip.frame_id in flagged_after - flagged_before),
        before=ErrorCounts(len(good & flagged_before), len(defects - flagged_before)),
        after=ErrorCounts(len(good & flagged_after), len(defects - flagged_after)),
        normal_scores=dict(normal_scores or {}),
        bad_pictures=bad_pictures,
        own=own,
    )


_VERDICT_COLUMNS = (
    VerdictRow.frame_id,
    VerdictRow.captured_at,
    VerdictRow.image_reference,
    VerdictRow.decision,
    VerdictRow.score,
    VerdictRow.threshold,
)


def _frame(row: Any, label: Label | None) -> FrameToRescore:
    return FrameToRescore(
        row.frame_id, row.captured_at, row.image_reference, row.decision, row.score, row.threshold, label
    )


def _flip(frame: FrameToRescore, new_scores: Mapping[UUID, float]) -> DecisionFlip:
    return DecisionFlip(
        frame.frame_id, frame.captured_at, frame.score, frame.threshold, new_scores[frame.frame_id], frame.label
    )


def _flip_to_json(flip: DecisionFlip) -> dict[str, Any]:
    return asdict(flip) | {"frame_id": str(flip.frame_id), "captured_at": flip.captured_at.isoformat()}


def _flip_from_json(flip: Mapping[str, Any]) -> DecisionFlip:
    at = datetime.fromisoformat(flip["captured_at"])
    return DecisionFlip(**(dict(flip) | {"frame_id": UUID(flip["frame_id"]), "captured_at": at}))
