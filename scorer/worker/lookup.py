"""Step 3 of the worker: look up the station of each frame and the recipe that its frames are inspected with."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from scorer.errors import InvalidNormalSet
from scorer.recipes.in_force import InForce
from scorer.recipes.loader import RecipeLoader
from scorer.recipes.recipe import Recipe
from scorer.worker.batch import LookedUp, Parsed, Rejected, Released, reject
from storage.database.engine import Database
from storage.line import normal_sets, parked_frames, stations
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station

WARM_UP_LIMIT_S = 20.0
"""Recipes are prepared before the first frame for this many seconds after the first of them, which loads the model."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StationSnapshot:
    """A station as it was when its batch was looked up, so that one batch never sees two normal sets of a station.

    `in_force` are the thresholds and defect sets of all stations of the batch.
    """

    station: Station
    normal_set: NormalSet | None
    in_force: InForce


class StationLookup:
    """Looks up stations and their recipes; used from one thread at a time."""

    def __init__(self, database: Database, recipes: RecipeLoader) -> None:
        """Look up in this database, and have recipes prepared by `recipes`."""
        self._database = database
        self._recipes = recipes
        self._normal_sets: dict[int, NormalSet] = {}  # by id; a normal set that was activated never changes

    def warm_up(self) -> None:
        """Prepare recipes of the stations that exist, so that first frames need not wait for them."""
        with self._database.read() as session:
            names = {station.name for station in stations.list_all(session)}
        until_s = math.inf
        for name, snapshot in self._snapshots(names).items():
            if snapshot.normal_set is None or time.monotonic() > until_s:
                continue
            try:
                self._recipe(snapshot)
            except InvalidNormalSet as error:  # each frame of the station will be rejected with it
                log.warning("a normal set can't be used", station=name, error=str(error))
            until_s = min(until_s, time.monotonic() + WARM_UP_LIMIT_S)

    def look_up(self, frames: Sequence[Parsed]) -> list[LookedUp | Rejected]:
        """Return each frame with its station and recipe, in order; all frames of a station get the same recipe."""
        snapshots = self._snapshots({parsed.frame.station for parsed in frames}) if frames else {}
        recipes = {name: self._recipe_or_error(snapshot) for name, snapshot in snapshots.items()}
        results: list[LookedUp | Rejected] = []
        for parsed in frames:
            name = parsed.frame.station
            if name not in snapshots:
                results.append(_unknown_station(parsed))
                continue
            snapshot, recipe = snapshots[name], recipes[name]
            if isinstance(recipe, InvalidNormalSet):
                results.append(_invalid_normal_set(parsed, snapshot, recipe))
            else:
                results.append(LookedUp(parsed.frame, parsed.message, parsed.position, snapshot.station, recipe))
        return results

    def _snapshots(self, names: set[str]) -> Mapping[str, StationSnapshot]:
        """Return the stations of these names, by name, as one transaction sees them; unknown names are omitted."""
        with self._database.read() as session:
            found = stations.by_names(session, names)
            active_ids = dict(normal_sets.active_ids(session, [station.id for station in found]))
            for station in found:
                if station.id in active_ids and active_ids[station.id] not in self._normal_sets:
                    normal_set = normal_sets.active(session, station.id)
                    if normal_set is not None:
                        self._normal_sets[normal_set.id] = normal_set
                        active_ids[station.id] = normal_set.id  # PostgreSQL may see a newer one than a moment before
            in_force = InForce.read(session, list(active_ids.values()))
        active = {station_id: self._normal_sets.get(set_id) for station_id, set_id in active_ids.items()}
        return {station.name: StationSnapshot(station, active.get(station.id), in_force) for station in found}

    def _recipe(self, snapshot: StationSnapshot) -> Recipe | None:
        if snapshot.normal_set is None:
            return None
        return self._recipes.recipe(snapshot.station, snapshot.normal_set, snapshot.in_force)

    def _recipe_or_error(self, snapshot: StationSnapshot) -> Recipe | InvalidNormalSet | None:
        try:
            return self._recipe(snapshot)
        except InvalidNormalSet as error:
            return error


def has_releasable_frames(database: Database) -> bool:
    """Return whether a parked frame's station has a normal set now."""
    with database.read() as session:
        return bool(parked_frames.stations_ready(session))


def take_releasable_frames(database: Database, limit: int) -> Released | None:
    """Return the oldest parked frames, up to `limit`, of a station that has a normal set now; None if none exist.

    Their lock ends with this transaction, because on SQLite it would keep all others from writing while they are
    scored. A second worker may score them too; one of the two verdicts is then discarded.
    """
    with database.read() as session:
        ready = parked_frames.stations_ready(session)
        if not ready:
            return None
        name = stations.name_of(session, ready[0])
    with database.begin() as session:
        frames = parked_frames.claim(session, ready[0], limit)
    return Released(name, frames) if frames else None


def _unknown_station(parsed: Parsed) -> Rejected:
    name = parsed.frame.station
    error = f"There is no station {name!r}: add it with andon station add and replay this letter."
    return reject(parsed, "unknown-station", error)


def _invalid_normal_set(parsed: Parsed, snapshot: StationSnapshot, error: InvalidNormalSet) -> Rejected:
    assert snapshot.normal_set is not None
    name, version = snapshot.station.name, snapshot.normal_set.version
    return reject(parsed, "bad-normals", f"Normal set {version} of {name} allows no verdict: {error}")
