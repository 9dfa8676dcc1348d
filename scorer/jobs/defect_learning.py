"""Learn what a station's defects look like: fit a head to the frames that people called defects.

1. Those frames, and others of the stream that are no normals, are compared with the normals.
2. A head is fitted, and its decisions are compared with those of the normals alone (`scorer.learning.head_gate`).
3. Defect set, scores and threshold are recorded in one transaction: a process that is killed leaves what was before,
   and of two workers the second finds the first one's version and writes nothing.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from foundation.clock import Clock
from scorer.detectors.capabilities.defect_term import learns_defects
from scorer.jobs.head_fitting import HeadFitting
from scorer.jobs.stream import LOOKBACK, may_join, review_share
from scorer.learning.learnt_head import LearntHead
from scorer.learning.limit_history import limits_from_history
from scorer.recipes.loader import RecipeLoader
from storage.database.engine import Database
from storage.learning import defect_sets, stream_scores
from storage.learning.defect_sets import DefectSet
from storage.learning.stream_scores import StreamScore
from storage.line import stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.review import labels
from storage.review.labels import LabelledFrame

MAX_FRAMES = 400
"""Newest frames that count as good unless somebody called them defects; more would only take longer."""

MAX_DEFECTS = 200
"""Newest defects that a head is fitted to."""

MIN_GROWTH = 0.10
"""The share by which defects must grow before their head is fitted again: each head begins new control charts."""


class DefectLearning:
    """Fits the heads of stations; used from one thread."""

    def __init__(self, database: Database, recipes: RecipeLoader, heads: HeadFitting, clock: Clock) -> None:
        """Learn from this database; heads are fitted and recorded by `heads`."""
        self._database = database
        self._recipes = recipes
        self._heads = heads
        self._clock = clock

    def run(self, station: Station, normal_set: NormalSet) -> bool:
        """Fit the head of a station again where its defects have changed; return whether a version was recorded."""
        detector = self._recipes.detector(station.settings.framing)
        if not learns_defects(detector):
            return False
        with self._database.read() as session:
            newest = defect_sets.find_newest(session, normal_set.id, detector.model_id)
            known = labels.current(session, newest.defects if newest is not None else ())
            defects = stream_scores.defects(session, station.id, MAX_DEFECTS)
        if not (defects and station.settings.learn_defects):
            return newest is not None and newest.in_use and self._retire(station, normal_set, newest)
        in_force = self._recipes.recipe(station, normal_set)
        if in_force.threshold.kind == "manual":
            return False
        is_used = newest is not None and newest.in_use and newest.scoring_model_id == in_force.model_id
        if newest is not None and is_used and not _has_changed(newest, known, defects):
            return False
        return self._learn(station, normal_set, newest, defects, is_used)

    def _learn(
        self,
        station: Station,
        normal_set: NormalSet,
        newest: DefectSet | None,
        defects: Sequence[StreamScore],
        is_used: bool,
    ) -> bool:
        recipe = self._recipes.recipe_without_head(station, normal_set)
        compared = self._heads.compare(self._sample(station, normal_set, defects), recipe)
        with self._database.read() as session:
            share = review_share(session, station, self._clock())
            history = thresholds.history_of(session, station.id, normal_set.id, recipe.model_id)
        limits = limits_from_history(compared.frames, history, share, normal_set.activated_at, self._clock())
        if limits is None:
            return False
        learnt = self._heads.learn(compared, recipe, limits, share)
        if learnt is None or (newest is not None and _says_the_same(newest, learnt, is_used)):
            return False
        with self._database.begin() as session:
            stations.lock(session, station.id)
            if defect_sets.find_newest(session, normal_set.id, recipe.model_id) != newest:  # somebody was faster
                return False
            self._heads.record(session, recipe, compared, limits, learnt)
        return True

    def _sample(self, station: Station, normal_set: NormalSet, defects: Sequence[StreamScore]) -> Sequence[StreamScore]:
        """Return the defects and the newest other frames, without normals.

        Of the frames from before the set, only that half counts of which none could join it: of the other half, the
        frames with low scores may have become normals.
        """
        normals = {image.reference for image in normal_set.images}
        with self._database.read() as session:
            newest = stream_scores.newest(session, station.id, self._clock() - LOOKBACK, MAX_FRAMES)
        others = [
            frame.scored for frame in newest if frame.normal_set_id == normal_set.id or not may_join(frame.scored)
        ]
        by_frame = {frame.frame_id: frame for frame in (*defects, *others)}
        return [frame for frame in by_frame.values() if frame.image_reference not in normals]

    def _retire(self, station: Station, normal_set: NormalSet, newest: DefectSet) -> bool:
        recipe = self._recipes.recipe_without_head(station, normal_set)
        reason = "No frame is labelled a defect any more."
        if not station.settings.learn_defects:
            reason = "This station does not learn from defects."
        with self._database.begin() as session:
            stations.lock(session, station.id)
            if defect_sets.find_newest(session, normal_set.id, recipe.model_id) != newest:
                return False
            self._heads.retire(session, recipe, reason)
        return True


def _has_changed(newest: DefectSet, known: Mapping[UUID, LabelledFrame], defects: Sequence[StreamScore]) -> bool:
    """Return whether people say something else of the defects that the head in use was fitted to, or of many others.

    Args:
        newest: The defect set in use.
        known: The labels in force of its frames.
        defects: The frames that are labelled defects now.
    """
    is_withdrawn = any(frame_id not in known or known[frame_id].label != "defect" for frame_id in newest.defects)
    added = {frame.frame_id for frame in defects} - set(newest.defects)
    return is_withdrawn or len(added) >= max(1, MIN_GROWTH * len(newest.defects))


def _says_the_same(newest: DefectSet, learnt: LearntHead, is_used: bool) -> bool:
    """Return whether a head is refused as the last one was, or is of the same defects as the one that is used now.

    The defects are the same where the image of one that was added can't be read.
    """
    if learnt.objection is not None:
        return not newest.in_use and newest.reason == learnt.objection
    return is_used and set(newest.defects) == learnt.defects
