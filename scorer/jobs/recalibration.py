"""Thresholds follow what people accept: the normals' own scores and those of accepted frames, once there are enough.

Nothing is promised from frames that nobody looked at: while flagged ones wait for a word, the accepted scores lack
their upper end, and the threshold stays. One set by hand stays until somebody changes it (docs/adr/0007).
"""

from dataclasses import replace
from datetime import timedelta

import structlog

from foundation.clock import Clock
from scorer.errors import InvalidNormalSet
from scorer.recipes.calibration import calibrate
from scorer.recipes.loader import Recipe, RecipeLoader
from storage.database.engine import Database
from storage.line import accepted_scores, normal_sets, stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.review import labels

LOOKBACK = timedelta(days=30)
MIN_ACCEPTED_SCORES = 100
MIN_RELATIVE_CHANGE = 0.01
"""Of the threshold in force; below that a new one would say nothing new."""

log = structlog.get_logger()


class ThresholdRecalibration:
    """Looks at all stations in turn; used from one thread."""

    def __init__(self, database: Database, name: str, clock: Clock, standards: RecipeLoader) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._standards = standards

    def turn(self) -> int:
        """Make new thresholds where they are due; how many were made."""
        with self._database.read() as session:
            standing = [
                (station, normal_set)
                for station in stations.list_all(session)
                if (normal_set := normal_sets.active(session, station.id)) is not None
            ]
        return sum(self._made(station, normal_set) for station, normal_set in standing)

    def _made(self, station: Station, normal_set: NormalSet) -> bool:
        if not self._is_reviewed(station):
            return False
        try:
            standard = self._standards.standard(station, normal_set)
        except InvalidNormalSet:  # each of its frames says so
            return False
        return self._follow(standard)

    def _is_reviewed(self, station: Station) -> bool:
        with self._database.read() as session:
            return bool(labels.recent(session, station.id, since=self._clock() - LOOKBACK, limit=1))

    def _follow(self, standard: Recipe) -> bool:
        now, in_force = self._clock(), standard.threshold
        key = in_force.station_id, in_force.normal_set_id, in_force.model_id
        with self._database.read() as session:
            found = accepted_scores.recent(session, *key, since=now - LOOKBACK)
        if in_force.kind == "manual" or found.flagged_unreviewed or len(found.scores) < MIN_ACCEPTED_SCORES:
            return False
        made = calibrate([*standard.references.normal_scores, *found.scores], in_force.false_reject_rate)
        if abs(made.value - in_force.value) <= MIN_RELATIVE_CHANGE * in_force.value:
            return False
        new = replace(
            in_force,
            value=made.value,
            guarantee=made.guarantee,
            made_at=now,
            made_by=self._name,
            kind="reviewed",
            reason=f"{len(found.scores)} accepted frames of the last {LOOKBACK.days} days",
        )
        with self._database.begin() as session:
            thresholds.record(session, new)
        log.info("threshold follows reviews", station=standard.station.name, value=new.value, before=in_force.value)
        return True
