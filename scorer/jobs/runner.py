"""What people at the desk ask of a scorer: what-ifs, golden frames, thresholds that follow their reviews.

All of it is done beside the line and never in its way. A job is taken from the database, done in small steps, each with
a sign of life, and stopped when it was cancelled.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from uuid import UUID

import structlog

from foundation.clock import Clock
from ingest.errors import BadFrame
from scorer.errors import ScorerError
from scorer.images import RetriableImageStore
from scorer.imaging import decode
from scorer.imaging.framing import Framed
from scorer.jobs.recalibration import ThresholdRecalibration
from scorer.recipes.loader import Recipe, RecipeLoader
from scorer.settings import ScorerSettings
from storage.database.engine import Database
from storage.errors import NotFound, StorageError
from storage.line import golden_frames, jobs, normal_sets, stations, what_if
from storage.line.jobs import Job, JobKind
from storage.line.normal_sets import NormalSet
from storage.line.what_if import FrameToRescore

JOB_KINDS: tuple[JobKind, ...] = ("what_if", "golden")
CHUNK_FRAMES = 8

log = structlog.get_logger()


class JobCancelled(Exception):
    """The job is no longer ours: it was cancelled, or another worker has it."""


class JobRunner:
    """Does jobs in a thread of its own while entered; one at a time."""

    def __init__(
        self,
        database: Database,
        images: RetriableImageStore,
        settings: ScorerSettings,
        name: str,
        clock: Clock,
        standards: RecipeLoader,
    ) -> None:
        self._database = database
        self._images = images
        self._settings = settings
        self._name = name
        self._clock = clock
        self._standards = standards
        self._recalibration = ThresholdRecalibration(database, name, clock, standards)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)

    def __enter__(self) -> "JobRunner":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    def turn(self) -> bool:
        """Do the oldest job there is; whether there was one."""
        with self._database.read() as session:
            if not jobs.has_available(session, JOB_KINDS, self._clock()):
                return False
        with self._database.begin() as session:
            job = jobs.claim(session, self._name, JOB_KINDS, self._clock())
        if job is None:
            return False
        log.info("job taken", job=job.id, kind=job.kind)
        try:
            self._done(job)
        except JobCancelled:
            log.info("job stopped", job=job.id)
        except (ScorerError, NotFound) as error:
            self._fail(job, str(error))
        except StorageError:  # nobody can be told now; the job is taken again when it shows no sign of life
            raise
        except Exception as error:
            log.exception("job failed", job=job.id)
            self._fail(job, f"Unexpected {type(error).__name__}: {error}")
        return True

    def _work(self) -> None:
        calibrated_s = time.monotonic()
        while not self._ending.is_set():
            try:
                worked = self.turn()
                if time.monotonic() - calibrated_s > self._settings.recalibration_interval_s:
                    self._recalibration.turn()
                    calibrated_s = time.monotonic()
            except StorageError as error:  # the line meets this too, and says so
                log.debug("no job can be done now", error=str(error))
                worked = False
            if not worked:
                self._ending.wait(self._settings.change_poll_interval_s)

    def _done(self, job: Job) -> None:
        result = self._what_if(job) if job.kind == "what_if" else self._golden(job)
        with self._database.begin() as session:
            jobs.finish(session, job.id, self._name, result, self._clock())

    def _fail(self, job: Job, why: str) -> None:
        with self._database.begin() as session:
            jobs.fail(session, job.id, self._name, why, self._clock())

    def _what_if(self, job: Job) -> dict[str, object]:
        asked = what_if.WhatIfRequest.from_json(job.payload)
        with self._database.read() as session:
            station = stations.by_id(session, job.station_id)
            normal_set = normal_sets.get(session, job.station_id, asked.version)
            frames = what_if.frames_to_rescore(session, job.station_id, asked.last)
        self._beat(job, 0, len(frames))
        standard = self._standards.standard(station, normal_set)
        scores: dict[UUID, float] = {}
        for done, some in self._some(frames):
            scores |= self._scored(some, standard)
            self._beat(job, done, len(frames))
        result = what_if.compare(
            asked,
            standard.detector.model_id,
            standard.threshold.value,
            standard.threshold.guarantee,
            frames,
            scores,
            dict(zip(_references(normal_set), standard.references.normal_scores, strict=True)),
        )
        return result.to_json()

    def _some(self, frames: Sequence[FrameToRescore]) -> Iterator[tuple[int, Sequence[FrameToRescore]]]:
        for first in range(0, len(frames), CHUNK_FRAMES):
            yield min(len(frames), first + CHUNK_FRAMES), frames[first : first + CHUNK_FRAMES]

    def _scored(self, frames: Sequence[FrameToRescore], standard: Recipe) -> dict[UUID, float]:
        framed = {frame.frame_id: self._framed(frame.image_reference, standard) for frame in frames}
        seen = {frame_id: one for frame_id, one in framed.items() if one is not None}
        if not seen:
            return {}
        encoded = standard.detector.encode(list(seen.values()))
        scores = standard.detector.judge(encoded, standard.references).image.tolist()
        return dict(zip(seen, scores, strict=True))

    def _framed(self, reference: str, standard: Recipe) -> Framed | None:
        try:
            data = self._images.get(reference)
            picture = decode.decode(data, self._settings, standard.detector.target_size).picture
        except (NotFound, BadFrame) as error:
            log.warning("a frame can't be scored again", image=reference, error=str(error))
            return None
        return standard.detector.prepare(picture)

    def _golden(self, job: Job) -> dict[str, object]:
        with self._database.read() as session:
            station = stations.by_id(session, job.station_id)
            frame = golden_frames.find(session, job.station_id)
            sets = normal_sets.list_all(session, job.station_id)
        if frame is None:
            raise NotFound("This station has no golden frame any more.")
        normal_set = next(one for one in sets if one.id == frame.normal_set_id)
        standard = self._standards.standard(station, normal_set)
        if standard.detector.model_id != frame.model_id:
            raise NotFound(
                f"The golden frame was scored by another model ({frame.model_id[:12]}…) than the one in use "
                f"({standard.detector.model_id[:12]}…): choose a golden frame anew."
            )
        framed = self._framed(frame.image_reference, standard)
        if framed is None:
            raise NotFound("The golden frame's image is gone from the image store: choose another one.")
        encoded = standard.detector.encode([framed])
        score = float(standard.detector.judge(encoded, standard.references).image[0])
        with self._database.begin() as session:
            golden_frames.record_score(session, job.station_id, score, self._name, self._clock())
        return {"score": score, "expected_score": frame.expected_score}

    def _beat(self, job: Job, done: int, total: int) -> None:
        with self._database.begin() as session:
            ours = jobs.heartbeat(session, job.id, self._name, self._clock(), done, total)
        if not ours or self._ending.is_set():
            raise JobCancelled


def _references(normal_set: NormalSet) -> list[str]:
    return [image.reference for image in normal_set.images]
