"""Steps 4 and 5 of the worker: keep what was seen, and write what it came to in one transaction."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from uuid import UUID

from foundation.clock import Clock
from scorer import metrics
from scorer.chunks import chunks
from scorer.images import RetriableImageStore
from scorer.worker import records
from scorer.worker.decode import FRAMES_PER_TASK, Decoded, Rejected
from scorer.worker.failpoints import failpoint
from scorer.worker.lookup import FrameBatch
from scorer.worker.progress import Progress
from scorer.worker.score import Scored
from storage.database.engine import Database
from storage.line import dead_letters, parked_frames, stations, verdicts
from storage.line.dead_letters import DeadLetter
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station
from storage.line.verdicts import Verdict


@dataclass(slots=True)
class BatchRecords:
    """What a batch comes to; written together or not at all."""

    verdicts: list[Verdict] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    parked: list[ParkedFrame] = field(default_factory=list)
    released: list[UUID] = field(default_factory=list)


class BatchWriter:
    """Turns scored batches into rows; used from one thread, and keeps images in `threads`, `at_once` of them."""

    def __init__(
        self,
        database: Database,
        images: RetriableImageStore,
        name: str,
        clock: Clock,
        threads: Executor,
        at_once: int,
    ) -> None:
        self._database = database
        self._images = images
        self._name = name
        self._clock = clock
        self._threads = threads
        self._at_once = at_once

    def write(self, batch: FrameBatch | None) -> Progress | None:
        """Keep images and maps, then write all rows in one transaction; raises what is retriable, nothing written."""
        if batch is None:
            return None
        outcome = BatchRecords()
        self._bury(batch.refused, outcome)
        self._leave_unscored(batch.unscored, outcome)
        self._keep_judged(batch.judged, outcome)
        if batch.was_parked:
            still_parked = {frame.frame_id for frame in outcome.parked}
            outcome.parked = []
            outcome.released = [frame_id for frame_id in batch.was_parked if frame_id not in still_parked]
        failpoint("kept")
        return Progress(frames=batch.frames) + self._recorded(outcome)

    def _keep_judged(self, judged: Sequence[Scored], outcome: BatchRecords) -> None:
        parts = chunks(judged, FRAMES_PER_TASK, self._at_once)
        keep = self._threads.map(lambda some: [self._images.put(one.map_png()) for one in some], parts)
        maps = [reference for some in keep for reference in some]
        images = [one.ready.pictured.reference() for one in judged]
        outcome.verdicts += [
            records.scored_verdict(one, image, its_map, self._name, self._clock())
            for one, image, its_map in zip(judged, images, maps, strict=True)
        ]

    def _leave_unscored(self, unscored: Sequence[tuple[Decoded, Station]], outcome: BatchRecords) -> None:
        for one, station in unscored:
            image = one.reference()
            if station.settings.without_normals == "wait":
                outcome.parked.append(records.parked_frame(one, station, image, self._clock()))
            else:
                outcome.verdicts.append(records.unscored_verdict(one, station, image, self._name, self._clock()))

    def _bury(self, refused: Sequence[Rejected], outcome: BatchRecords) -> None:
        payloads = self._threads.map(self._images.put, [one.message.value for one in refused])
        for one, payload in zip(refused, payloads, strict=True):
            outcome.letters.append(records.dead_letter(one, payload, self._clock()))

    def _recorded(self, outcome: BatchRecords) -> Progress:
        with self._database.begin() as session:
            of_stations = {one.station_id for one in outcome.verdicts} | {one.station_id for one in outcome.parked}
            names = stations.names_of(session, of_stations)
            new_verdicts = verdicts.record(session, outcome.verdicts)
            new_letters = dead_letters.record(session, outcome.letters)
            new_parked = parked_frames.park(session, outcome.parked)
            parked_frames.release(session, outcome.released)
            failpoint("writing")
        failpoint("written")
        new = {verdict.frame_id: verdict for verdict in outcome.verdicts if verdict.frame_id in new_verdicts}.values()
        self._count(list(new), names)
        for letter in new_letters:
            metrics.DEAD_LETTERS.labels(letter.reason).inc()
        for station_id in {
            frame.frame_id: frame.station_id for frame in outcome.parked if frame.frame_id in new_parked
        }.values():
            metrics.PARKED_FRAMES.labels(names[station_id]).inc()
        return Progress(
            verdicts=len(new_verdicts),
            flagged=sum(verdict.decision == "flag" for verdict in new),
            dead_letters=len(new_letters),
            parked=len(new_parked),
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
