"""Steps 4 and 5 of the worker: keep what was seen, and write what it came to in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from scorer import metrics, rows
from scorer.intake import FRAMES_A_TASK, Pictured, Refused
from scorer.judging import Judged
from scorer.kept_images import KeptImages
from scorer.kill_points import reached
from scorer.pipeline import Batch
from scorer.progress import Progress
from scorer.shares import shared_out
from storage import dead_letters, parked, stations, verdicts
from storage.database import Database
from storage.dead_letters import DeadLetter
from storage.parked import ParkedFrame
from storage.stations import Station
from storage.verdicts import Verdict


@dataclass(slots=True)
class Outcome:
    """What a batch comes to; written together or not at all."""

    verdicts: list[Verdict] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    parked: list[ParkedFrame] = field(default_factory=list)
    released: list[UUID] = field(default_factory=list)


class Writing:
    """Turns scored batches into rows; used from one thread, and keeps images in `threads`, `at_once` of them."""

    def __init__(
        self,
        database: Database,
        images: KeptImages,
        name: str,
        clock: Callable[[], datetime],
        threads: Executor,
        at_once: int,
    ) -> None:
        self._database = database
        self._images = images
        self._name = name
        self._clock = clock
        self._threads = threads
        self._at_once = at_once

    def write(self, batch: Batch | None) -> Progress | None:
        """Keep images and maps, then write all rows in one transaction; raises what is retriable, nothing written."""
        if batch is None:
            return None
        outcome = Outcome()
        self._bury(batch.refused, outcome)
        self._leave_unscored(batch.unscored, outcome)
        self._keep_judged(batch.judged, outcome)
        if batch.was_parked:
            still_parked = {frame.frame_id for frame in outcome.parked}
            outcome.parked = []
            outcome.released = [frame_id for frame_id in batch.was_parked if frame_id not in still_parked]
        reached("kept")
        return Progress(frames=batch.frames) + self._recorded(outcome)

    def _keep_judged(self, judged: Sequence[Judged], outcome: Outcome) -> None:
        parts = shared_out(judged, FRAMES_A_TASK, self._at_once)
        keep = self._threads.map(lambda some: [self._images.put(one.map_png()) for one in some], parts)
        maps = [reference for some in keep for reference in some]
        images = [one.ready.pictured.reference() for one in judged]
        outcome.verdicts += [
            rows.scored_verdict(one, image, its_map, self._name, self._clock())
            for one, image, its_map in zip(judged, images, maps, strict=True)
        ]

    def _leave_unscored(self, unscored: Sequence[tuple[Pictured, Station]], outcome: Outcome) -> None:
        for one, station in unscored:
            image = one.reference()
            if station.settings.without_normals == "wait":
                outcome.parked.append(rows.parked_frame(one, station, image, self._clock()))
            else:
                outcome.verdicts.append(rows.unscored_verdict(one, station, image, self._name, self._clock()))

    def _bury(self, refused: Sequence[Refused], outcome: Outcome) -> None:
        payloads = self._threads.map(self._images.put, [one.message.value for one in refused])
        for one, payload in zip(refused, payloads, strict=True):
            outcome.letters.append(rows.dead_letter(one, payload, self._clock()))

    def _recorded(self, outcome: Outcome) -> Progress:
        with self._database.begin() as session:
            of_stations = {one.station_id for one in outcome.verdicts} | {one.station_id for one in outcome.parked}
            names = stations.names_of(session, of_stations)
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
