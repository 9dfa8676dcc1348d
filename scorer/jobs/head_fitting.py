"""Fit heads to stored frames, and record what a normal set's frames led to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import structlog
from sqlalchemy.orm import Session

from foundation.clock import Clock
from foundation.failpoints import LEARNING_FAILPOINT, failpoint
from scorer.jobs.frame_evidence import FrameEvidenceCache
from scorer.jobs.rescoring import Rescorer
from scorer.learning.learnt_head import LearntHead, learn_head
from scorer.learning.limits import Limits
from scorer.recipes.recipe import Recipe
from storage.learning import defect_sets, rescored_frames
from storage.learning.defect_sets import DefectSet
from storage.learning.stream_scores import StreamScore
from storage.line import thresholds

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Compared:
    """Frames with their scores by the normals alone, and their evidence, (N, F)."""

    frames: Sequence[StreamScore]
    evidence: np.ndarray


class HeadFitting:
    """Compares frames with normals, and records heads; used from one thread."""

    def __init__(self, rescorer: Rescorer, name: str, clock: Clock) -> None:
        """Record what is learnt as made by the worker `name`."""
        self._evidence = FrameEvidenceCache(rescorer)
        self._name = name
        self._clock = clock

    def compare(self, frames: Sequence[StreamScore], recipe: Recipe) -> Compared:
        """Compare frames with the normals of a recipe without a head; those that can't be read are left out.

        None of the frames may be a normal.
        """
        found = self._evidence.get([frame.image_reference for frame in frames], recipe)
        known = [(frame, each) for frame, each in zip(frames, found, strict=True) if each is not None]
        scored = [replace(frame, score=each.score) for frame, each in known]
        evidence = np.stack([each.evidence for _, each in known]) if known else np.empty((0, 0))
        return Compared(scored, evidence.astype(np.float64))

    def learn(self, compared: Compared, recipe: Recipe, limits: Limits, review_share: float) -> LearntHead | None:
        """Fit a head; see `learn_head`."""
        rate = recipe.threshold.false_reject_rate
        return learn_head(compared.frames, compared.evidence, limits, rate, review_share)

    def record(
        self, session: Session, recipe: Recipe, compared: Compared, limits: Limits, learnt: LearntHead
    ) -> DefectSet:
        """Record a head that came into use or was objected to, with the threshold that frames now get.

        Args:
            session: A transaction that holds the station's lock.
            recipe: The recipe without a head, of the normal set that the frames were compared with.
            compared: The frames.
            limits: What is learnt from their scores by the normals alone.
            learnt: The head.
        """
        plain, at = recipe.threshold, self._clock()
        before = defect_sets.find_newest(session, plain.normal_set_id, recipe.model_id)
        objection = learnt.objection
        recorded = defect_sets.record(
            session,
            DefectSet(
                station_id=plain.station_id,
                version=0,
                normal_set_id=plain.normal_set_id,
                model_id=recipe.model_id,
                scoring_model_id=learnt.term.scoring_model_id(recipe.model_id),
                defects=tuple(sorted(learnt.defects)),
                good_frames=len(learnt.frames) - len(learnt.defects),
                caught=learnt.comparison.caught,
                caught_without=learnt.comparison.caught_without,
                in_use=objection is None,
                reason=objection or "",
                made_at=at,
                made_by=self._name,
            ),
            learnt.term.to_bytes(),
        )
        scores = {recipe.model_id: _by_frame(compared.frames)}
        if recorded.in_use:
            scores[recorded.scoring_model_id] = _by_frame(learnt.frames)
            with_head = replace(plain, model_id=recorded.scoring_model_id)
            thresholds.record(session, learnt.limits.put_into(with_head, at, self._name))
        elif before is not None and before.in_use:
            thresholds.record(session, limits.put_into(plain, at, self._name))
        rescored_frames.replace_all(session, plain.normal_set_id, recipe.mask_version, scores)
        failpoint(LEARNING_FAILPOINT)
        log.info(
            "defects learnt",
            station=plain.station_id,
            version=recorded.version,
            defects=len(recorded.defects),
            in_use=recorded.in_use,
            reason=recorded.reason,
        )
        return recorded

    def retire(self, session: Session, recipe: Recipe, reason: str) -> DefectSet:
        """Record that frames are scored by the normals alone again; the transaction holds the station's lock."""
        plain, at = recipe.threshold, self._clock()
        key = plain.station_id, 0, plain.normal_set_id, recipe.model_id
        recorded = defect_sets.record(session, DefectSet(*key, "", (), 0, 0, 0, False, reason, at, self._name), b"")
        thresholds.record(session, replace(plain, made_at=at, made_by=self._name))
        rescored_frames.replace_all(session, plain.normal_set_id, recipe.mask_version, {})
        log.info("defects are not learnt from any more", station=plain.station_id, reason=reason)
        return recorded


def _by_frame(frames: Sequence[StreamScore]) -> dict[UUID, float]:
    return {frame.frame_id: frame.score for frame in frames}
