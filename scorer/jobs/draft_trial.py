"""Try a draft on the half of the stream that could not join it, and put the limits in force that its scores lead to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foundation.clock import Clock
from scorer.detectors.capabilities.defect_term import learns_defects
from scorer.jobs.defect_learning import MAX_DEFECTS
from scorer.jobs.head_fitting import HeadFitting
from scorer.jobs.job_progress import ReportProgress, chunks_with_progress
from scorer.jobs.rescoring import Rescorer
from scorer.jobs.stream import may_join, review_share
from scorer.learning.learnt_head import NO_CEILING
from scorer.learning.limits import Limits, learn_limits
from scorer.recipes.loader import RecipeLoader
from scorer.recipes.recipe import Recipe
from storage.database.engine import Database
from storage.learning import stream_scores
from storage.learning.stream_scores import StreamScore
from storage.line import stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station


@dataclass(frozen=True, slots=True)
class Trial:
    """Frames with their scores by the draft.

    Attributes:
        frames: The frames that are normals of neither set, with their scores by the draft.
        limits: What is learnt from these scores; None where they are too few, or a person set the draft's threshold.
    """

    frames: Sequence[StreamScore]
    limits: Limits | None


class DraftTrial:
    """Tries the drafts of one scoring process; used from one thread."""

    def __init__(
        self,
        database: Database,
        recipes: RecipeLoader,
        rescorer: Rescorer,
        heads: HeadFitting,
        name: str,
        clock: Clock,
    ) -> None:
        """Record limits as learnt by the worker `name`."""
        self._database = database
        self._recipes = recipes
        self._rescorer = rescorer
        self._heads = heads
        self._name = name
        self._clock = clock

    def run(
        self,
        station: Station,
        draft: NormalSet,
        active: NormalSet,
        stream: Sequence[StreamScore],
        report: ReportProgress,
    ) -> Trial:
        """Score the other half of a stream with a draft, and put the limits in force that its scores lead to.

        Where the station learns from defects, and a head may be used with the draft, the draft gets that too.
        """
        recipe = self._recipes.recipe_without_head(station, draft)
        normals = {image.reference for image in (*draft.images, *active.images)}
        others = [frame for frame in stream if not may_join(frame) and frame.image_reference not in normals]
        with self._database.read() as session:
            share = review_share(session, station, self._clock())
            defects = stream_scores.defects(session, station.id, MAX_DEFECTS)
        if defects and station.settings.learn_defects and learns_defects(recipe.detector):
            also = [frame for frame in defects if frame.image_reference not in normals]
            return self._with_head(station, recipe, also, others, share, report)
        scored: list[StreamScore] = []
        for chunk in chunks_with_progress(others, report, len(stream), len(stream) + len(others)):
            found = self._rescorer.scores([frame.image_reference for frame in chunk], recipe)
            scored += [
                replace(frame, score=score)
                for frame, score in zip(chunk, found, strict=True)
                if isinstance(score, float)
            ]
        limits = _learn(scored, recipe, share)
        if limits is not None:
            with self._database.begin() as session:
                thresholds.record(session, limits.put_into(recipe.threshold, self._clock(), self._name))
        return Trial(scored, limits)

    def _with_head(
        self,
        station: Station,
        recipe: Recipe,
        defects: Sequence[StreamScore],
        others: Sequence[StreamScore],
        share: float,
        report: ReportProgress,
    ) -> Trial:
        sample = list({frame.frame_id: frame for frame in (*defects, *others)}.values())
        for chunk in chunks_with_progress(sample, report, len(sample), 2 * len(sample)):
            self._heads.compare(chunk, recipe)  # kept: the whole sample is compared at once below
        compared = self._heads.compare(sample, recipe)
        tried = {frame.frame_id for frame in others}
        limits = _learn(compared.frames, recipe, share)
        if limits is None:
            return Trial([frame for frame in compared.frames if frame.frame_id in tried], None)
        learnt = self._heads.learn(compared, recipe, limits, share)
        with self._database.begin() as session:
            stations.lock(session, station.id)
            thresholds.record(session, limits.put_into(recipe.threshold, self._clock(), self._name))
            if learnt is not None:
                self._heads.record(session, recipe, compared, limits, learnt)
        if learnt is None or learnt.objection is not None:
            return Trial([frame for frame in compared.frames if frame.frame_id in tried], limits)
        return Trial([frame for frame in learnt.frames if frame.frame_id in tried], learnt.limits)


def _learn(frames: Sequence[StreamScore], recipe: Recipe, share: float) -> Limits | None:
    """Learn limits with no recourse to the normals: those that were chosen for their low scores allow no threshold."""
    if recipe.threshold.kind == "manual":
        return None
    return learn_limits(frames, NO_CEILING, recipe.threshold.false_reject_rate, share, math.inf)
