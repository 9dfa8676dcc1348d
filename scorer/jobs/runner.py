"""Run jobs while the line runs: what-ifs, golden frames and proposals of normals, and limits that follow.

A job is claimed from the database, done in small steps, each with a heartbeat, and stopped once it is cancelled.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from foundation.clock import Clock
from foundation.errors import Retriable
from foundation.threads import background_thread
from scorer.errors import ScorerError
from scorer.images import RetriableImageStore
from scorer.jobs.autopilot import Autopilot
from scorer.jobs.defect_learning import DefectLearning
from scorer.jobs.draft_trial import DraftTrial
from scorer.jobs.golden import run_golden
from scorer.jobs.head_fitting import HeadFitting
from scorer.jobs.normal_proposals import NormalProposals
from scorer.jobs.questions import QuestionChooser
from scorer.jobs.recalibration import Recalibration
from scorer.jobs.rescoring import Rescorer
from scorer.jobs.what_if import run_what_if
from scorer.recipes.loader import RecipeLoader
from scorer.settings import ScorerSettings
from storage.database.engine import Database
from storage.errors import InvalidChange, NotFound, PermissionDenied, StorageError
from storage.line import jobs
from storage.line.jobs import Job, JobKind

JOB_KINDS: tuple[JobKind, ...] = ("what_if", "golden", "propose_normals")

log = structlog.get_logger()


class JobCancelled(Exception):
    """The job was cancelled, another worker claimed it, or this worker stops."""


class JobRunner:
    """Runs jobs one at a time, in a thread of its own."""

    def __init__(
        self,
        database: Database,
        images: RetriableImageStore,
        settings: ScorerSettings,
        name: str,
        clock: Clock,
        recipes: RecipeLoader,
    ) -> None:
        """Claim jobs as the worker `name`; recipes are shared with the line."""
        self._database = database
        self._settings = settings
        self._name = name
        self._clock = clock
        self._recipes = recipes
        self._rescorer = Rescorer(images, settings)
        heads = HeadFitting(self._rescorer, name, clock)
        defects = DefectLearning(database, recipes, heads, clock)
        questions = QuestionChooser(images, settings)
        trial = DraftTrial(database, recipes, self._rescorer, heads, name, clock)
        self._proposals = NormalProposals(database, recipes, self._rescorer, trial, clock)
        self._autopilot = Autopilot(database, clock)
        self._recalibration = Recalibration(database, name, clock, recipes, questions, defects)
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run jobs while the block lasts; the one that is running at its end is left to another worker."""
        with background_thread(lambda _: self._run(), "jobs", on_stop=self._stop.set):
            yield

    def run_next(self) -> bool:
        """Run the oldest job that is queued; return whether there was one."""
        with self._database.read() as session:
            if not jobs.has_available(session, JOB_KINDS, self._clock()):
                return False
        with self._database.begin() as session:
            job = jobs.claim(session, self._name, JOB_KINDS, self._clock())
        if job is None:
            return False
        log.info("job claimed", job=job.id, kind=job.kind)
        try:
            self._finish(job, self._result(job))
        except JobCancelled:
            log.info("job stopped", job=job.id)
        except (ScorerError, NotFound, InvalidChange, PermissionDenied) as error:
            self._fail(job, str(error))
        except StorageError:  # its failure can't be recorded now; the job is claimed again once its heartbeat is old
            raise
        except Exception as error:
            log.exception("job failed", job=job.id)
            self._fail(job, f"Unexpected {type(error).__name__}: {error}")
        return True

    def _run(self) -> None:
        recalibrated_at_s = time.monotonic()
        while not self._stop.is_set():
            try:
                has_run = self.run_next()
                if time.monotonic() - recalibrated_at_s > self._settings.recalibration_interval_s:
                    self._recalibration.run()
                    self._autopilot.run()
                    recalibrated_at_s = time.monotonic()
                else:
                    self._recalibration.run_where_labelled()
            except (StorageError, Retriable) as error:  # the worker's loop has the same error, and reports it
                log.debug("no job can be run now", error=str(error))
                has_run = False
            except Exception:  # one station that can't be learnt from must not end all jobs
                log.exception("limits can't be learnt")
                has_run = False
            if not has_run:
                self._stop.wait(self._settings.change_poll_interval_s)

    def _result(self, job: Job) -> dict[str, object]:
        if job.kind == "golden":
            return run_golden(job, self._database, self._recipes, self._rescorer, self._name, self._clock)

        def report(done: int, total: int) -> None:
            self._report(job, done, total)

        if job.kind == "propose_normals":
            return self._proposals.run(job, report)
        return run_what_if(job, self._database, self._recipes, self._rescorer, report)

    def _report(self, job: Job, done: int, total: int) -> None:
        with self._database.begin() as session:
            is_claimed = jobs.heartbeat(session, job.id, self._name, self._clock(), done, total)
        if not is_claimed or self._stop.is_set():
            raise JobCancelled

    def _finish(self, job: Job, result: dict[str, object]) -> None:
        with self._database.begin() as session:
            jobs.finish(session, job.id, self._name, result, self._clock())

    def _fail(self, job: Job, error: str) -> None:
        with self._database.begin() as session:
            jobs.fail(session, job.id, self._name, error, self._clock())
