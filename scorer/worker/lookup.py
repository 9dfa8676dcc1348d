"""Steps 2 and 3 of the worker, each a stage: take a batch in, and score it."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from ingest.bus.protocol import Record
from scorer import metrics
from scorer.detectors.protocol import Detector
from scorer.errors import InvalidNormalSet
from scorer.recipes.loader import Recipe, RecipeLoader
from scorer.settings import ScorerSettings
from scorer.worker.decode import Decoded, FrameDecoder, Parsed, Rejected, parse, reject, unpark
from scorer.worker.failpoints import failpoint
from scorer.worker.score import MicroBatchScorer, Scorable, Scored
from storage.database.engine import Database
from storage.line import normal_sets, parked_frames, stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

NO_NORMAL_SET = -1

WARM_UP_LIMIT_S = 20.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StationSnapshot:
    """A station as it stood when the batch began: one batch never sees two normal sets of a station.

    in_force: the thresholds, by normal set and model, of all stations of the batch.
    """

    station: Station
    normal_set: NormalSet | None
    in_force: Mapping[tuple[int, str], Threshold]


@dataclass(slots=True)
class FrameBatch:
    """Frames on their way; each stage adds what it found out. `was_parked` are those that wait in the database."""

    frames: int
    was_parked: Sequence[UUID] = ()
    refused: list[Rejected] = field(default_factory=list)
    ready: list[Scorable] = field(default_factory=list)
    unscored: list[tuple[Decoded, Station]] = field(default_factory=list)
    judged: list[Scored] = field(default_factory=list)


class BatchStages:
    """Brings batches from records to scores; all but `score` is used from one thread."""

    def __init__(
        self,
        database: Database,
        settings: ScorerSettings,
        intake: FrameDecoder,
        standards: RecipeLoader,
        judge: MicroBatchScorer,
    ) -> None:
        self._database = database
        self._settings = settings
        self._standards = standards
        self._intake = intake
        self._judge = judge
        self._normal_sets: dict[int, NormalSet] = {}

    def prepare(self) -> None:
        """Get ready for the stations there are, so that first frames need not wait.

        Within PREPARE_WITHIN_S from the first of them, which loads the model and may measure engines.
        """
        until_s = math.inf
        with self._database.read() as session:
            names = {station.name for station in stations.list_all(session)}
        for name, standing in self._standings(names).items():
            if standing.normal_set is None or time.monotonic() > until_s:
                continue
            try:
                self._standards.standard(standing.station, standing.normal_set, standing.in_force)
            except InvalidNormalSet as error:  # each of its frames will say so too
                log.warning("a normal set can't be used", station=name, error=str(error))
            until_s = min(until_s, time.monotonic() + WARM_UP_LIMIT_S)

    def take_in(self, records: Sequence[Record] | None) -> FrameBatch | None:
        """Parse, look up what the frames are judged by, decode and frame."""
        if records is None:
            return self._take_parked()
        metrics.FRAMES_READ.inc(len(records))
        parsed = [parse(record) for record in records]
        batch = FrameBatch(len(records), refused=[one for one in parsed if isinstance(one, Rejected)])
        self._get_ready([one for one in parsed if isinstance(one, Parsed)], batch)
        failpoint("decoded")
        return batch

    def score(self, batch: FrameBatch | None) -> FrameBatch | None:
        """Score what is ready."""
        if batch is None:
            return None
        answers = self._judge.judge(batch.ready)
        batch.judged = [one for one in answers if isinstance(one, Scored)]
        batch.refused += [one for one in answers if isinstance(one, Rejected)]
        failpoint("scored")
        return batch

    def has_releasable_frames(self) -> bool:
        """Whether a parked frame could become a verdict now."""
        with self._database.read() as session:
            return bool(parked_frames.stations_ready(session))

    def _take_parked(self) -> FrameBatch | None:
        """Some parked frames whose station has a normal set now, oldest first; None if there are none."""
        with self._database.read() as session:
            ready = parked_frames.stations_ready(session)
            if not ready:
                return None
            names = stations.names_of(session, ready)
        # Their lock ends with this transaction: SQLite would keep everybody from writing while we score. A second
        # worker may score them too, and one of the two verdicts is left out.
        with self._database.begin() as session:
            taken = parked_frames.claim(session, ready[0], self._settings.batch_frames)
        if not taken:
            return None
        batch = FrameBatch(0, was_parked=[frame.frame_id for frame in taken])  # they were counted when they were parked
        self._get_ready([unpark(frame, names[frame.station_id]) for frame in taken], batch)
        return batch

    def _get_ready(self, arrived: Sequence[Parsed], batch: FrameBatch) -> None:
        standings = self._standings({one.frame.station for one in arrived}) if arrived else {}
        standards = {name: self._standard(standing) for name, standing in standings.items()}
        judgeable: list[Parsed] = []
        for one in arrived:
            standard = standards.get(one.frame.station)
            if one.frame.station not in standings:
                batch.refused.append(_stray(one))
            elif isinstance(standard, InvalidNormalSet):
                batch.refused.append(_unjudgeable(one, standings[one.frame.station], standard))
            else:
                judgeable.append(one)

        def detector_of(one: Parsed) -> Detector | None:
            standard = standards[one.frame.station]
            return standard.detector if isinstance(standard, Recipe) else None

        for found in self._intake.pictured(judgeable, detector_of):
            if isinstance(found, Rejected):
                batch.refused.append(found)
                continue
            name = found.arrived.frame.station
            standard = standards[name]
            if isinstance(standard, Recipe):
                batch.ready.append(Scorable(found, standard))
            else:
                batch.unscored.append((found, standings[name].station))

    def _standings(self, names: set[str]) -> Mapping[str, StationSnapshot]:
        """How each named station stands, read in one transaction; unknown ones are left out."""
        with self._database.read() as session:
            named = stations.by_names(session, names)
            active = dict(normal_sets.active_ids(session, [station.id for station in named]))
            for station in named:
                if station.id in active and active[station.id] not in self._normal_sets:
                    found = normal_sets.active(session, station.id)
                    if found is not None:
                        self._normal_sets[found.id] = found
                        active[station.id] = found.id  # PostgreSQL may show a newer one than a moment before
            in_force = thresholds.in_force(session, list(active.values()))
        return {
            station.name: StationSnapshot(
                station, self._normal_sets.get(active.get(station.id, NO_NORMAL_SET)), in_force
            )
            for station in named
        }

    def _standard(self, standing: StationSnapshot) -> Recipe | InvalidNormalSet | None:
        if standing.normal_set is None:
            return None
        try:
            return self._standards.standard(standing.station, standing.normal_set, standing.in_force)
        except InvalidNormalSet as error:
            return error


def _stray(arrived: Parsed) -> Rejected:
    name = arrived.frame.station
    return reject(
        arrived,
        "unknown-station",
        f"There is no station {name!r}: add it with andon station add and replay this letter.",
    )


def _unjudgeable(arrived: Parsed, standing: StationSnapshot, why: InvalidNormalSet) -> Rejected:
    assert standing.normal_set is not None
    name, version = standing.station.name, standing.normal_set.version
    return reject(arrived, "bad-normals", f"Normal set {version} of {name} allows no verdict: {why}")
