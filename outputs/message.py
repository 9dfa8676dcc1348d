"""The message that an output sends for one verdict, and its JSON form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from uuid import UUID

from storage.areas.regions import Region, to_json
from storage.line.decision import Decision
from storage.outputs.pending import PendingVerdict

VERSION = 1
"""Version of the JSON form: it is raised when a key changes its meaning or goes, not when one is added."""


@dataclass(frozen=True, slots=True)
class VerdictMessage:
    """One verdict as the outside sees it. Times are in UTC.

    Attributes:
        verdict_id: Its number in the database; the verdicts of a station have increasing numbers.
        frame_id: The frame, which has exactly one verdict: receivers recognise a message that is sent twice by it.
        station: The station's name.
        part_id: The part's own id, where the source knows it.
        captured_at: When the frame was captured.
        decided_at: When the verdict was made.
        decision: ``pass``, ``flag``, ``no_reference`` for a station without an active normal set, or ``bad_picture``
            for a part that was not seen.
        score: The anomaly score, 0 or more; None without a score, like all of the following but the image.
        threshold: What the score was compared with; a greater score is flagged.
        components: What the score was computed from, by name.
        detector: The detector's name.
        model_id: Hash of the model's weights and configuration; equal ids score equally.
        weights_sha256: SHA-256 of the weights, in hexadecimal.
        normal_set_id: The normal set's number in the database.
        image_reference: The image's address in the image store, a hash of its bytes.
        map_reference: The anomaly map's address in the image store; None if none was stored.
        worker: The name of the scorer.
        picture_problem: Why a ``bad_picture`` is one, a code such as ``dark``; None for every other decision.
        review_limit: What decides whether a frame that passes goes to review; None without a score, and for frames that
            were decided by a version before such limits.
        borderline: Whether the frame passed and goes to review, with a score in (review_limit, threshold]. It is a
            property of a ``pass`` and no decision of its own: a machine that rejects needs ``decision`` alone.
        regions: Where a flagged or borderline frame exceeds its limit, the worst first, in fractions of the picture;
            empty for other scored frames, and None without a score and for frames that were decided by a version
            before such regions.
        mask_version: Version of the station's mask, by which parts of the picture were not inspected; 0 without one.
    """

    verdict_id: int
    frame_id: UUID
    station: str
    part_id: str | None
    captured_at: datetime
    decided_at: datetime
    decision: Decision
    score: float | None
    threshold: float | None
    components: Mapping[str, float]
    detector: str | None
    model_id: str | None
    weights_sha256: str | None
    normal_set_id: int | None
    image_reference: str
    map_reference: str | None
    worker: str
    picture_problem: str | None = None
    review_limit: float | None = None
    borderline: bool = False
    regions: Sequence[Region] | None = None
    mask_version: int = 0

    def to_json(self) -> str:
        """Return the message as one line of JSON with the key `version`; times are RFC 3339 with microseconds."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["regions"] = None if self.regions is None else to_json(self.regions)
        return json.dumps({"version": VERSION, **values}, allow_nan=False, separators=(",", ":"), default=_json_of)


def message_of(pending: PendingVerdict) -> VerdictMessage:
    """Return the message for a verdict of the outbox."""
    verdict = pending.verdict
    return VerdictMessage(
        verdict_id=pending.verdict_id,
        frame_id=verdict.frame_id,
        station=pending.station,
        part_id=verdict.part_id,
        captured_at=verdict.captured_at,
        decided_at=verdict.decided_at,
        decision=verdict.decision,
        score=verdict.score,
        threshold=verdict.threshold,
        components=dict(verdict.components),
        detector=verdict.detector,
        model_id=verdict.model_id,
        weights_sha256=verdict.weights_sha256,
        normal_set_id=verdict.normal_set_id,
        image_reference=verdict.image_reference,
        map_reference=verdict.map_reference,
        worker=verdict.worker,
        picture_problem=verdict.picture_problem,
        review_limit=verdict.review_limit,
        borderline=verdict.is_borderline,
        regions=verdict.regions,
        mask_version=verdict.mask_version,
    )


def _json_of(value: object) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, datetime) else str(value)
