"""The loop that turns frames into verdicts, each frame into exactly one (docs/adr/0006).

1. Poll a batch of records from the bus; nothing is committed yet.
2. Parse each message into a frame.
3. Look up each frame's station and recipe: one recipe per station and batch.
4. Decode, measure and frame the images, fetching those that travel by reference; storing them begins. One that does
   not show the part properly is a bad picture, and skips 5.
5. Score in micro-batches that mix stations.
6. Decide by each recipe's threshold.
7. Persist: store images and anomaly maps, then write verdicts, dead letters and parked frames in one transaction.
8. Commit the offsets.

Steps 2 to 4, 5 to 6 and 7 are the stages of a `StagePipeline`, each in threads of its own: batches are scored while the
next is decoded and the one before is persisted, and they are persisted and committed in the order in which they were
polled. A crash before 7 leaves images that the next attempt finds again; a crash between 7 and 8 gives frames that have
their verdicts already and are then skipped.

The thread that called `run` owns the consumer and goes on polling it, paused, while the pipeline is full. Parked frames
whose station has a normal set by now enter before new ones. When bus, database, image store or model are unavailable,
all batches in flight are abandoned uncommitted, the consumer is rewound, and all is tried again after a while.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import structlog

from foundation.clock import Clock, utc_now
from foundation.errors import Retriable
from foundation.failpoints import failpoint
from foundation.gc_freeze import freeze_loaded_objects
from ingest.bus.protocol import Bus, Consumer
from ingest.errors import BusUnavailable
from scorer import metrics
from scorer.backbones import registry as backbones
from scorer.detectors import registry
from scorer.engines.devices import default_score_threads, set_torch_threads
from scorer.images import RetriableImageStore
from scorer.jobs.runner import JobRunner
from scorer.recipes.loader import RecipeLoader
from scorer.settings import ScorerSettings
from scorer.worker.backoff import WorkerBackoff
from scorer.worker.batch import Polled, Released, Source
from scorer.worker.decode import FrameDecoder
from scorer.worker.heartbeat import Heartbeat
from scorer.worker.lag import LagReport
from scorer.worker.lookup import StationLookup, has_releasable_frames, take_releasable_frames
from scorer.worker.persist import BatchWriter
from scorer.worker.pipeline import StagePipeline
from scorer.worker.progress import Progress
from scorer.worker.score import MicroBatchScorer
from scorer.worker.stages import BatchStages
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database

log = structlog.get_logger()

KEEPALIVE_INTERVAL_S = 1.0
BUSY_POLL_TIMEOUT_S = 0.01
MAX_SMALL_BATCHES = 2
"""The most batches in flight while the last has fewer than `model_batch_frames` frames: frames that arrive meanwhile
make the next batch. One batch of two frames costs less than two batches of one, which near a machine's capacity decides
the latency."""
STALLED_AFTER_S = 120.0
STUCK_AFTER_S = 600.0  # far longer than any batch: only a restart helps

ReportProgress = Callable[[Progress], None]


class ScoringWorker:
    """One member of the scoring group; run it once."""

    def __init__(
        self,
        bus: Bus,
        database: Database,
        images: ImageStore,
        settings: ScorerSettings,
        topic: str,
        name: str,
        clock: Clock = utc_now,
        wait_for: Callable[[threading.Event, float], bool] = threading.Event.wait,
        load: registry.LoadDetector = registry.load,
    ) -> None:
        """Wire the steps together; nothing is opened before `run`.

        Args:
            bus: Where frames come from; the worker joins `settings.group` on `topic`.
            database: Where stations are looked up, and verdicts written.
            images: Where images and anomaly maps are stored.
            settings: The scorer's settings.
            topic: The topic of frames.
            name: The worker's name in verdicts and on the dashboard, unique among running workers.
            clock: Gives the times of verdicts and heartbeats.
            wait_for: Waits for an event for a number of seconds; tests pass another one.
            load: Loads the detector that the settings name, for a framing.
        """
        self._bus = bus
        self._database = database
        self._settings = settings
        self._topic = topic
        self._wait_for = wait_for
        self._decoding = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decoding")
        self._storing = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="storing")
        score_threads = settings.score_threads or default_score_threads(settings.device)
        self._scorer = MicroBatchScorer(settings.model_batch_frames, score_threads)
        store = RetriableImageStore(images)
        recipes = RecipeLoader(database, store, settings, name, clock, load)
        self._lookup = StationLookup(database, recipes)
        steps = BatchStages(
            self._lookup,
            FrameDecoder(store, settings, self._decoding, self._storing),
            self._scorer,
            BatchWriter(database, store, name, clock, self._storing, settings.decode_threads),
            clock,
        )
        self._pipeline: StagePipeline[Source, Progress] = StagePipeline(
            steps.pipeline_stages(score_threads), settings.max_batches_in_flight
        )
        self._jobs = JobRunner(database, store, settings, name, clock, recipes)
        detector = registry.resolve_name(settings)
        self._heartbeat = Heartbeat(database, name, detector, settings.heartbeat_interval_s, clock)
        self._backoff = WorkerBackoff(settings.retry_backoff_s, settings.retry_backoff_max_s, self._heartbeat)
        self._lag = LagReport(settings.heartbeat_interval_s, self._heartbeat, topic)
        self._consumer: Consumer | None = None
        self._must_rewind = False
        self._progress = Progress()
        self._advanced_at_s = self._polled_at_s = time.monotonic()
        self._released_at_s = -math.inf

    def run(self, stop: threading.Event, drain: bool, progress: ReportProgress) -> Progress:
        """Work until `stop` is set or, with `drain`, until every frame on the bus has been dealt with.

        Args:
            stop: Set from any thread to end the work; batches in flight are still persisted and committed.
            drain: Whether to end by itself once nothing is left.
            progress: Gets the sums so far after each batch, from the calling thread.

        Returns:
            The sums over all batches.

        Raises:
            AndonError: Waiting does not resolve the error, such as `UnknownDetector` or `SchemaMismatch`; none of the
                batches in flight is committed in that case.
        """
        backbones.require_known(self._settings.backbone)
        set_torch_threads(self._settings.torch_threads or 1)
        with ExitStack() as closing:
            closing.callback(self._decoding.shutdown)
            closing.callback(self._storing.shutdown)
            closing.callback(self._scorer.close)
            closing.callback(self._close_consumer)
            closing.callback(self._pipeline.close)
            closing.enter_context(self._heartbeat.running())
            closing.enter_context(self._jobs.running())
            while not stop.is_set():
                try:
                    has_work = self._step(progress)
                    if not (self._backoff.is_failing and self._pipeline.in_flight):  # else a batch must succeed first
                        self._backoff.recovered()
                    if drain and not has_work and self._is_drained():
                        break
                except Retriable as error:
                    self._back_off(error, stop)
            self._finish(progress)
        return replace(self._progress, lag=self._lag.frames)

    def health(self) -> list[str]:
        """Return why the worker is unhealthy, one sentence per reason; from any thread."""
        reasons = [self._backoff.message] if self._backoff.message else []
        return [*reasons, *self._stalled(STALLED_AFTER_S)]

    def liveness(self) -> list[str]:
        """Return why only a restart helps: never because something else is unavailable; from any thread."""
        return [] if self._backoff.message else self._stalled(STUCK_AFTER_S)

    def _stalled(self, after_s: float) -> list[str]:
        stalled_s = time.monotonic() - self._advanced_at_s
        return [f"The worker has been busy with the same batch for {stalled_s:.0f} s."] if stalled_s > after_s else []

    def _step(self, progress: ReportProgress) -> bool:
        """Commit a batch that is persisted, or start another; return whether anything was done or is in flight."""
        consumer = self._ready_consumer()
        if self._commit_oldest(consumer, progress):
            return True
        if not self._may_enter():
            self._wait_for_batch(consumer)
            return True
        self._lag.measure_if_due(consumer)
        if not self._enter_released():
            self._enter_polled(consumer)
        if not self._pipeline.in_flight:
            self._advanced_at_s = time.monotonic()
        return bool(self._pipeline.in_flight)

    def _finish(self, progress: ReportProgress) -> None:
        """Persist and commit the batches in flight; a batch that fails stays uncommitted and is read again."""
        try:
            while self._consumer is not None and self._pipeline.in_flight:
                if not self._commit_oldest(self._consumer, progress):
                    self._wait_for_batch(self._consumer)
        except Retriable as error:
            log.warning("stopped before all was committed, nothing is lost", cause=error.cause, error=str(error))

    def _enter_polled(self, consumer: Consumer) -> None:
        busy = bool(self._pipeline.in_flight)  # the commit of a batch in flight waits while we poll
        timeout_s = min(self._settings.poll_timeout_s, BUSY_POLL_TIMEOUT_S) if busy else self._settings.poll_timeout_s
        self._polled_at_s = time.monotonic()
        polled = Polled(consumer.poll(self._settings.batch_frames, timeout_s))  # 1
        if polled.entries:
            failpoint("polled")
            self._pipeline.enter(polled, polled.frames)  # 2 to 7

    def _enter_released(self) -> bool:
        """Start a batch of parked frames whose station has a normal set now; return whether there were any."""
        now_s = time.monotonic()
        if now_s - self._released_at_s < self._settings.change_poll_interval_s:
            return False
        self._released_at_s = now_s
        released = take_releasable_frames(self._database, self._settings.batch_frames)
        if released is not None:
            self._pipeline.enter(released, len(released.frames))  # 2 to 7
        return released is not None

    def _commit_oldest(self, consumer: Consumer, progress: ReportProgress) -> bool:
        """Commit the oldest batch in flight if it is persisted; raise what stopped it."""
        finished = self._pipeline.take()
        if finished is None:
            return False
        source, result = finished
        counts = result.result()
        self._advanced_at_s = time.monotonic()
        self._progress = replace(self._progress + counts, lag=self._lag.frames)
        progress(self._progress)
        if isinstance(source, Released):
            self._released_at_s = -math.inf  # there may be more
            return True
        with metrics.STAGE_SECONDS.labels("commit").time():
            consumer.commit(source.next_offsets)  # 8
        self._backoff.recovered()
        failpoint("committed")
        return True

    def _may_enter(self) -> bool:
        """Return whether another batch may enter; none does while parked frames are in flight."""
        in_flight = self._pipeline.in_flight
        if self._pipeline.is_full or any(isinstance(source, Released) for source in in_flight):
            return False
        last = in_flight[-1] if in_flight else None
        is_large = isinstance(last, Polled) and last.frames >= self._settings.model_batch_frames
        return is_large or len(in_flight) < MAX_SMALL_BATCHES

    def _wait_for_batch(self, consumer: Consumer) -> None:
        """Wait until a batch is done, and keep the group membership alive meanwhile."""
        self._pipeline.wait(KEEPALIVE_INTERVAL_S)
        if time.monotonic() - self._polled_at_s > KEEPALIVE_INTERVAL_S:
            consumer.pause()
            self._keep_alive(consumer)
            consumer.resume()

    def _ready_consumer(self) -> Consumer:
        if self._consumer is None:
            self._database.require_current_schema()
            self._lookup.warm_up()
            freeze_loaded_objects()
            self._consumer = self._bus.consumer(self._topic, self._settings.group)
        if self._must_rewind:
            self._consumer.rewind()
            self._must_rewind = False
        return self._consumer

    def _keep_alive(self, consumer: Consumer) -> None:
        """Poll the paused consumer, so that the group does not expel it."""
        self._polled_at_s = time.monotonic()
        try:
            consumer.poll(1, 0.0)
        except BusUnavailable as error:  # the next poll or commit raises it again, once the batch is done
            log.debug("the bus is unavailable while scoring", error=str(error))

    def _is_drained(self) -> bool:
        """Return whether no member of the group has frames left; a dead one's are reassigned when its lease ends."""
        consumer = self._ready_consumer()
        self._lag.measure(consumer)
        return consumer.group_lag() == 0 and not has_releasable_frames(self._database)

    def _back_off(self, error: Retriable, stop: threading.Event) -> None:
        """Abandon the batches in flight, which will be read again, and wait without losing the membership."""
        self._pipeline.abandon()
        self._must_rewind = self._consumer is not None
        wait_s = self._backoff.failed(error)
        if self._consumer is not None:
            self._consumer.pause()
        while wait_s > 0 and not self._wait_for(stop, min(wait_s, KEEPALIVE_INTERVAL_S)):
            wait_s -= KEEPALIVE_INTERVAL_S
            self._advanced_at_s = time.monotonic()
            if self._consumer is not None:
                self._keep_alive(self._consumer)
        if self._consumer is not None:
            self._consumer.resume()

    def _close_consumer(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
