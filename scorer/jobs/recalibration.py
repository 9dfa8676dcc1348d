"""Let thresholds follow reviews: calibrate from the normals' own scores and those of accepted frames.

Unreviewed frames allow no guarantee: while flagged frames wait for a label, the accepted scores
lack their upper end, and the threshold stays. One that was set by hand stays until a user changes it (docs/adr/0007).
"""

from dataclasses import replace
from datetime import timedelta

import structlog

from foundation.clock import Clock
from scorer.errors import InvalidNormalSet
from scorer.recipes.calibration import calibrate
from scorer.recipes.loader import RecipeLoader
from scorer.recipes.recipe import Recipe
from storage.database.engine import Database
from storage.line import accepted_scores, normal_sets, stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.review import labels

LOOKBACK = timedelta(days=30)
MIN_ACCEPTED_SCORES = 100
MIN_RELATIVE_CHANGE = 0.01
"""Relative to the current threshold; a smaller change is not worth a new one."""

log = structlog.get_logger()


class ThresholdRecalibration:
    """Recalibrates stations in turn; used from one thread."""

    def __init__(self, database: Database, name: str, clock: Clock, recipes: RecipeLoader) -> None:
        """Record new thresholds as made by the worker `name`."""
        self._database = database
        self._name = name
        self._clock = clock
        self._recipes = recipes

    def run(self) -> int:
        """Make new thresholds where they are due, and return how many."""
        with self._database.read() as session:
            active = [
                (station, normal_set)
                for station in stations.list_all(session)
                if (normal_set := normal_sets.active(session, station.id)) is not None
            ]
        return sum(self._recalibrate(station, normal_set) for station, normal_set in active)

    def _recalibrate(self, station: Station, normal_set: NormalSet) -> bool:
        if not self._has_reviews(station):
            return False
        try:
            recipe = self._recipes.recipe(station, normal_set)
        except InvalidNormalSet:  # each frame of the station is rejected with it
            return False
        threshold = self._recalibrated(recipe)
        if threshold is None:
            return False
        with self._database.begin() as session:
            thresholds.record(session, threshold)
        log.info(
            "threshold follows reviews", station=station.name, value=threshold.value, before=recipe.threshold.value
        )
        return True

    def _has_reviews(self, station: Station) -> bool:
        with self._database.read() as session:
            return bool(labels.recent(session, station.id, since=self._clock() - LOOKBACK, limit=1))

    def _recalibrated(self, recipe: Recipe) -> Threshold | None:
        """Return the threshold that accepted scores lead to; None while they do not allow another one."""
        now, current = self._clock(), recipe.threshold
        key = current.station_id, current.normal_set_id, current.model_id
        with self._database.read() as session:
            accepted = accepted_scores.recent(session, *key, since=now - LOOKBACK)
        if current.kind == "manual" or accepted.flagged_unreviewed or len(accepted.scores) < MIN_ACCEPTED_SCORES:
            return None
        found = calibrate([*recipe.references.normal_scores, *accepted.scores], current.false_reject_rate)
        if abs(found.value - current.value) <= MIN_RELATIVE_CHANGE * current.value:
            return None
        return replace(
            current,
            value=found.value,
            guarantee=found.guarantee,
            made_at=now,
            made_by=self._name,
            kind="reviewed",
            reason=f"{len(accepted.scores)} accepted frames of the last {LOOKBACK.days} days",
        )
