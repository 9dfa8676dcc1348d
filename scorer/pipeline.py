"""Steps 2 to 6 of the worker: from records to rows in one transaction."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog

from ingest.bus.protocol import Record
from scorer import metrics, rows
from scorer.errors import BadNormals
from scorer.intake import Arrived, Intake, Pictured, Refused, parse, refuse, unpark
from scorer.judging import Judge, Judged, Standard
from scorer.kept_images import KeptImages
from scorer.kill_points import reached
from scorer.progress import Progress
from scorer.settings import ScorerSettings
from storage import dead_letters, normal_sets, parked, stations, verdicts
from storage.database import Database
from storage.dead_letters import DeadLetter
from storage.normal_sets import NormalSet
from storage.parked import ParkedFrame
from storage.stations import Station
from storage.verdicts import Verdict

NO_SET = -1

PREPARE_WITHIN_S = 20.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """A station as it stood when the batch began: one batch never sees two normal sets of a station."""

    station: Station
    normal_set: NormalSet | None


@dataclass(slots=True)
class Outcome:
    """What a batch comes to; written together or not at all."""

    verdicts: list[Verdict] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    parked: list[ParkedFrame] = field(default_factory=list)
    released: list[UUID] = field(default_factory=list)


class Pipeline:
    """Turns batches into rows; used from one thread, and decodes and keeps images in `threads`."""

    def __init__(
        self,
        database: Database,
        images: KeptImages,
        settings: ScorerSettings,
        name: str,
        clock: Callable[[], datetime],
        threads: Executor,
        judge: Judge,
    ) -> None:
        self._database = database
        self._images = images
        self._settings = settings
        self._name = name
        self._clock = clock
        self._threads = threads
        self._judge = judge
        self._intake = Intake(images, settings, threads)
        self._normal_sets: dict[int, NormalSet] = {}

    def prepare(self) -> None:
        """Get ready for the stations there are, within PREPARE_WITHIN_S, so that first frames need not wait."""
        until_s = time.monotonic() + PREPARE_WITHIN_S
        with self._database.read() as session:
            names = {station.name for station in stations.list_all(session)}
        for name, standing in self._standings(names).items():
            if standing.normal_set is None or time.monotonic() > until_s:
                continue
            try:
                self._judge.standard(standing.station, standing.normal_set)
            except BadNormals as error:  # each of its frames will say so too
                log.warning("a normal set can't be used", station=name, error=str(error))

    def process(self, records: Sequence[Record]) -> Progress:
        """Bring a batch from the bus into the database; raises what is retriable, with nothing written."""
        metrics.FRAMES_READ.inc(len(records))
        parsed = [parse(record) for record in records]
        outcome = Outcome()
        self._bury([one for one in parsed if isinstance(one, Refused)], outcome)
        self._work_on([one for one in parsed if isinstance(one, Arrived)], outcome)
        return Progress(frames=len(records)) + self._write(outcome)

    def process_parked(self) -> Progress | None:
        """Bring some parked frames whose station has a normal set now into the database, oldest first; None if none."""
        with self._database.read() as session:
            ready = parked.stations_ready(session)
            if not ready:
                return None
            names = {station.id: station.name for station in stations.list_all(session)}
        # Their lock ends with this transaction: SQLite would keep everybody from writing while we score. A second
        # worker may score them too, and one of the two verdicts is left out.
        with self._database.begin() as session:
            taken = parked.take(session, ready[0], self._settings.batch_frames)
        if not taken:
            return None
        outcome = Outcome()
        self._work_on([unpark(frame, names[frame.station_id]) for frame in taken], outcome)
        still_parked = {frame.frame_id for frame in outcome.parked}
        outcome.parked = []
        outcome.released = [frame.frame_id for frame in taken if frame.frame_id not in still_parked]
        return self._write(outcome)

    def has_parked_ready(self) -> bool:
        """Whether a parked frame could become a verdict now."""
        with self._database.read() as session:
            return bool(parked.stations_ready(session))

    def _work_on(self, arrived: Sequence[Arrived], outcome: Outcome) -> None:
        standings = self._standings({one.frame.station for one in arrived}) if arrived else {}
        known = [one for one in arrived if one.frame.station in standings]
        self._bury([_stray(one) for one in arrived if one.frame.station not in standings], outcome)
        standards: dict[str, Standard | BadNormals] = {}
        portions = self._intake.portions(known)
        while True:
            with metrics.STAGE_SECONDS.labels("decode").time():
                portion = next(portions, None)
            if portion is None:
                return
            reached("decoded")
            self._bury([one for one in portion if isinstance(one, Refused)], outcome)
            by_station: dict[str, list[Pictured]] = {}
            for one in portion:
                if isinstance(one, Pictured):
                    by_station.setdefault(one.arrived.frame.station, []).append(one)
            for name, frames in by_station.items():
                if standings[name].normal_set is None:
                    self._leave_unscored(frames, standings[name].station, outcome)
                else:
                    self._judge_all(frames, standings[name], standards, outcome)
            reached("kept")

    def _standings(self, names: set[str]) -> Mapping[str, Standing]:
        """How each named station stands, read in one transaction; unknown ones are left out."""
        with self._database.read() as session:
            named = [station for station in stations.list_all(session) if station.name in names]
            active = dict(normal_sets.active_ids(session))
            for station in named:
                if station.id in active and active[station.id] not in self._normal_sets:
                    found = normal_sets.active(session, station.id)
                    if found is not None:
                        self._normal_sets[found.id] = found
                        active[station.id] = found.id  # PostgreSQL may show a newer one than a moment before
        return {
            station.name: Standing(station, self._normal_sets.get(active.get(station.id, NO_SET))) for station in named
        }

    def _judge_all(
        self,
        frames: Sequence[Pictured],
        standing: Standing,
        standards: dict[str, Standard | BadNormals],
        outcome: Outcome,
    ) -> None:
        assert standing.normal_set is not None
        name = standing.station.name
        with metrics.STAGE_SECONDS.labels("score").time():
            if name not in standards:
                try:
                    standards[name] = self._judge.standard(standing.station, standing.normal_set)
                except BadNormals as error:
                    standards[name] = error
            standard = standards[name]
            if isinstance(standard, BadNormals):
                why = f"Normal set {standing.normal_set.version} of {name} allows no verdict: {standard}"
                self._bury([refuse(one.arrived, "bad-normals", why) for one in frames], outcome)
                return
            answers = list(self._judge.judge(frames, standard))
        reached("scored")
        self._bury([one for one in answers if isinstance(one, Refused)], outcome)
        judged = [one for one in answers if isinstance(one, Judged)]
        with metrics.STAGE_SECONDS.labels("store").time():
            images = self._kept([one.pictured for one in judged])
            maps = self._threads.map(self._images.put, [one.map_png for one in judged])
            outcome.verdicts += [
                rows.scored_verdict(one, image, its_map, self._name, self._clock())
                for one, image, its_map in zip(judged, images, maps, strict=True)
            ]

    def _leave_unscored(self, frames: Sequence[Pictured], station: Station, outcome: Outcome) -> None:
        with metrics.STAGE_SECONDS.labels("store").time():
            for one, image in zip(frames, self._kept(frames), strict=True):
                if station.settings.without_normals == "wait":
                    outcome.parked.append(rows.parked_frame(one, station, image, self._clock()))
                else:
                    outcome.verdicts.append(rows.unscored_verdict(one, station, image, self._name, self._clock()))

    def _kept(self, frames: Sequence[Pictured]) -> list[str]:
        """References of the frames' images; one that came as a reference lies in the store already."""

        def keep(one: Pictured) -> str:
            return one.arrived.frame.image_reference or self._images.put(one.data)

        return list(self._threads.map(keep, frames))

    def _bury(self, refused: Sequence[Refused], outcome: Outcome) -> None:
        payloads = self._threads.map(self._images.put, [one.message.value for one in refused])
        for one, payload in zip(refused, payloads, strict=True):
            outcome.letters.append(rows.dead_letter(one, payload, self._clock()))

    def _write(self, outcome: Outcome) -> Progress:
        with metrics.STAGE_SECONDS.labels("store").time(), self._database.begin() as session:
            names = {station.id: station.name for station in stations.list_all(session)}
            new_verdicts = verdicts.record(session, outcome.verdicts)
            new_letters = dead_letters.record(session, outcome.letters)
            new_parked = parked.park(session, outcome.parked)
            parked.release(session, outcome.released)
            reached("writing")
        reached("written")
        # Frames read again come first in their batch, so the new ones are the last.
        self._count(outcome.verdicts[len(outcome.verdicts) - new_verdicts :], names)
        for letter in outcome.letters[len(outcome.letters) - new_letters :]:
            metrics.DEAD_LETTERS.labels(letter.reason).inc()
        for frame in outcome.parked[len(outcome.parked) - new_parked :]:
            metrics.PARKED_FRAMES.labels(names[frame.station_id]).inc()
        return Progress(
            verdicts=new_verdicts,
            flagged=sum(one.decision == "flag" for one in outcome.verdicts[len(outcome.verdicts) - new_verdicts :]),
            dead_letters=new_letters,
            parked=new_parked,
        )

    def _count(self, new: Sequence[Verdict], names: Mapping[int, str]) -> None:
        now = self._clock()
        for verdict in new:
            name = names[verdict.station_id]
            metrics.VERDICTS.labels(name, verdict.decision).inc()
            if verdict.score is not None:
                metrics.SCORE.labels(name).observe(verdict.score)
            metrics.TRIGGER_TO_VERDICT_SECONDS.labels(name).observe(
                max(0.0, (now - verdict.captured_at).total_seconds())
            )
            metrics.LAST_FRAME_TIMESTAMP_SECONDS.labels(name).set(verdict.captured_at.timestamp())


def _stray(arrived: Arrived) -> Refused:
    name = arrived.frame.station
    return refuse(
        arrived,
        "unknown-station",
        f"There is no station {name!r}: add it with andon station add and replay this letter.",
    )
