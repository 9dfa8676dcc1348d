"""The loop that turns frames into verdicts, each exactly once (docs/adr/0006).

1. Poll a batch of records; nothing is committed yet.
2. Parse each message, look up its station's active normal set, references and threshold (one set a station and batch),
   fetch the images that travel as references, decode and frame in threads.
3. Score in micro-batches that mix stations.
4. Keep images and anomaly maps in the image store.
5. Write verdicts, dead letters and parked frames in one transaction.
6. Commit the offsets.

Steps 2, 3 and 4 to 5 are stages of a `Flow`, each in threads of its own, so that batches are scored while the next is
decoded and the one before is written; batches are written and committed in the order in which they were polled. A
crash before 5 leaves images that the next try finds again; a crash between 5 and 6 gives frames that have their
verdicts, which are then left out. The thread that called `run` owns the consumer and goes on polling it, paused, while
there is no room for more. Parked frames whose station has a normal set by now come before new ones. When bus,
database, image store or model are away, all batches under way are dropped uncommitted, the consumer rewound, and all is
tried again after a while.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import structlog
import torch

from foundation.clock import Clock, utc_now
from foundation.errors import Retriable
from ingest.bus.protocol import Bus, Consumer, Record
from ingest.errors import BusUnavailable
from scorer import metrics
from scorer.backbones import registry as backbones
from scorer.detectors import registry
from scorer.engines.devices import default_score_threads
from scorer.images import RetriableImageStore
from scorer.jobs.runner import JobRunner
from scorer.recipes.loader import RecipeLoader
from scorer.settings import ScorerSettings
from scorer.worker.decode import FrameDecoder
from scorer.worker.failpoints import failpoint
from scorer.worker.gc_freeze import freeze_loaded_objects
from scorer.worker.heartbeat import Heartbeat
from scorer.worker.lookup import BatchStages
from scorer.worker.persist import BatchWriter
from scorer.worker.progress import Progress
from scorer.worker.score import MicroBatchScorer
from scorer.worker.stages import Stage, StagePipeline
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database

log = structlog.get_logger()

KEEPALIVE_INTERVAL_S = 1.0
BUSY_POLL_TIMEOUT_S = 0.01
MAX_SMALL_BATCHES = 2
"""So many batches of fewer than `model_batch_frames` may be under way: frames that come meanwhile make the next batch.
One of two costs less than two of one, and near the limit of a machine that decides how long all of them wait."""
STALLED_AFTER_S = 120.0


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
        self._bus = bus
        self._database = database
        self._settings = settings
        self._topic = topic
        self._wait_for = wait_for
        self._decoding = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decoding")
        self._keeping = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="keeping")
        kept = RetriableImageStore(images)
        standards = RecipeLoader(database, kept, settings, name, clock, load)
        intake = FrameDecoder(kept, settings, self._decoding, self._keeping)
        side_by_side = settings.score_threads or default_score_threads(settings.device)
        self._judge = MicroBatchScorer(settings.model_batch_frames, side_by_side)
        self._pipeline = BatchStages(database, settings, intake, standards, self._judge)
        self._writing = BatchWriter(database, kept, name, clock, self._keeping, settings.decode_threads)
        stages = (
            Stage("take-in", self._pipeline.take_in),
            Stage("score", self._pipeline.score, side_by_side),  # a batch of one frame leaves the other cores idle
            Stage("write", self._writing.write),
        )
        self._flow = StagePipeline(stages, settings.max_batches_in_flight)
        self._under_way: deque[Sequence[Record] | None] = deque()  # None stands for parked frames
        self._desk = JobRunner(database, kept, settings, name, clock, standards)
        self._heart = Heartbeat(database, name, registry.resolve_name(settings), settings.heartbeat_interval_s, clock)
        self._consumer: Consumer | None = None
        self._must_rewind = False
        self._failures = 0
        self._waiting_for = ""
        self._done = Progress()
        self._moved_at_s = self._polled_at_s = self._measured_at_s = time.monotonic()
        self._looked_at_s = -math.inf

    def run(self, stop: threading.Event, drain: bool, progress: Callable[[Progress], None]) -> Progress:
        """Work until `stop` is set or, with `drain`, until every frame there is has been dealt with.

        `progress` gets the sums so far after each batch, from the calling thread. What is not retriable, such as
        `UnknownDetector` or `SchemaMismatch`, is raised; nothing of the batches under way is committed then.
        """
        backbones.require_known(self._settings.backbone)
        torch.set_num_threads(self._settings.torch_threads or 1)
        with ExitStack() as closing:
            closing.callback(self._decoding.shutdown)
            closing.callback(self._keeping.shutdown)
            closing.callback(self._judge.close)
            closing.callback(self._leave)
            closing.callback(self._flow.close)
            closing.enter_context(self._heart)
            closing.enter_context(self._desk)
            while not stop.is_set():
                try:
                    worked = self._turn(progress)
                    if not (self._failures and self._under_way):  # else the next batch must come through first
                        self._all_is_well()
                    if drain and not worked and self._is_drained():
                        break
                except Retriable as error:
                    self._wait_out(error, stop)
            self._finish(progress)
        return self._done

    def health(self) -> list[str]:
        """Why the worker is not well, one sentence a reason; from any thread."""
        reasons = [self._waiting_for] if self._waiting_for else []
        still_s = time.monotonic() - self._moved_at_s
        if still_s > STALLED_AFTER_S:
            reasons.append(f"The worker has been busy with the same batch for {still_s:.0f} s.")
        return reasons

    def _turn(self, progress: Callable[[Progress], None]) -> bool:
        """Take out what is done and let more in; say whether anything is under way or was done."""
        consumer = self._ready_consumer()
        if self._settle(consumer, progress):
            return True
        if not self._has_room():
            self._wait_for_room(consumer)
            return True
        self._measure_lag(consumer)
        if self._is_time_to_look() and self._pipeline.has_releasable_frames():
            self._enter(None, 0)  # nothing new enters before they are done
            return True
        records = self._polled(consumer, self._settings.batch_frames, self._patience_s())
        if records:
            failpoint("polled")
            self._enter(records, len(records))
        if not self._under_way:
            self._moved_at_s = time.monotonic()
        return bool(self._under_way)

    def _finish(self, progress: Callable[[Progress], None]) -> None:
        """Write and commit the batches under way; what is away now stays uncommitted and is read again."""
        try:
            while self._consumer is not None and self._under_way:
                if not self._settle(self._consumer, progress):
                    self._wait_for_room(self._consumer)
        except Retriable as error:
            log.warning("stopped before all was committed, nothing is lost", cause=error.cause, error=str(error))

    def _enter(self, records: Sequence[Record] | None, frames: int) -> None:
        self._under_way.append(records)
        self._flow.enter(records, frames)

    def _settle(self, consumer: Consumer, progress: Callable[[Progress], None]) -> bool:
        """Commit the first batch under way if it is written; raise what stopped it."""
        done = self._flow.take()
        if done is None:
            return False
        records = self._under_way.popleft()
        came_to: Progress | None = done.result()
        self._moved_at_s = time.monotonic()
        if came_to is None:
            return True
        self._add(came_to, progress)
        if records is None:
            self._looked_at_s = -math.inf  # there may be more
            return True
        with metrics.STAGE_SECONDS.labels("commit").time():
            consumer.commit(_after(records))
        self._all_is_well()
        failpoint("committed")
        return True

    def _has_room(self) -> bool:
        """Whether a batch may enter; beside parked frames none does."""
        if None in self._under_way:
            return False
        is_large = bool(self._under_way) and len(self._under_way[-1] or ()) >= self._settings.model_batch_frames
        return self._flow.has_room and (is_large or len(self._under_way) < MAX_SMALL_BATCHES)

    def _wait_for_room(self, consumer: Consumer) -> None:
        """Until a batch is done, while the membership is kept alive."""
        self._flow.wait(KEEPALIVE_INTERVAL_S)
        if time.monotonic() - self._polled_at_s > KEEPALIVE_INTERVAL_S:
            consumer.pause()
            self._keep_alive(consumer)
            consumer.resume()

    def _patience_s(self) -> float:
        """How long a poll may wait: short while a batch is under way, whose commit waits for it."""
        return (
            min(self._settings.poll_timeout_s, BUSY_POLL_TIMEOUT_S)
            if self._under_way
            else self._settings.poll_timeout_s
        )

    def _ready_consumer(self) -> Consumer:
        if self._consumer is None:
            self._database.require_current_schema()
            self._pipeline.prepare()
            freeze_loaded_objects()
            self._consumer = self._bus.consumer(self._topic, self._settings.group)
        if self._must_rewind:
            self._consumer.rewind()
            self._must_rewind = False
        return self._consumer

    def _polled(self, consumer: Consumer, most: int, timeout_s: float) -> Sequence[Record]:
        self._polled_at_s = time.monotonic()
        return consumer.poll(most, timeout_s)

    def _keep_alive(self, consumer: Consumer) -> None:
        try:
            self._polled(consumer, 1, 0.0)
        except BusUnavailable as error:  # the next poll or commit meets it too, once the work in hand is done
            log.debug("the bus is away while scoring", error=str(error))

    def _is_time_to_look(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_at_s < self._settings.change_poll_interval_s:
            return False
        self._looked_at_s = now_s
        return True

    def _measure_lag(self, consumer: Consumer) -> int:
        """Tell how far behind we are, now and then."""
        now_s = time.monotonic()
        if now_s - self._measured_at_s < self._settings.heartbeat_interval_s:
            return self._done.lag
        self._measured_at_s = now_s
        return self._lag(consumer)

    def _lag(self, consumer: Consumer) -> int:
        lag = consumer.lag()
        metrics.CONSUMER_LAG_FRAMES.clear()  # partitions that went to others are theirs to tell
        for (topic, partition), frames in lag.items():
            metrics.CONSUMER_LAG_FRAMES.labels(topic, str(partition)).set(frames)
        total = sum(lag.values())
        self._heart.lag(total)
        self._done += Progress(lag=total)
        return total

    def _add(self, progress: Progress, tell: Callable[[Progress], None]) -> None:
        self._done += Progress(
            progress.frames, progress.verdicts, progress.flagged, progress.dead_letters, progress.parked, self._done.lag
        )
        tell(self._done)

    def _is_drained(self) -> bool:
        """Whether nothing is left for anybody: a dead member's frames become ours once its lease is over."""
        consumer = self._ready_consumer()
        self._lag(consumer)
        return consumer.group_lag() == 0 and not self._pipeline.has_releasable_frames()

    def _all_is_well(self) -> None:
        if self._waiting_for:
            log.info("all is there again", waited_for=self._waiting_for)
        self._failures = 0
        self._waiting_for = ""
        for cause in _SPOKEN:
            metrics.DEPENDENCY_UNAVAILABLE.labels(cause).set(0)
        self._heart.say("running")

    def _wait_out(self, error: Retriable, stop: threading.Event) -> None:
        """Say what is away, once, and wait; the batches under way will be read again."""
        self._flow.give_up()
        self._under_way.clear()
        cause, message = error.cause, f"Waiting for the {_SPOKEN[error.cause]}: {error}"
        self._must_rewind = self._consumer is not None
        delay_s = min(self._settings.retry_backoff_max_s, self._settings.retry_backoff_s * 2 ** min(self._failures, 30))
        self._failures += 1
        if message != self._waiting_for:
            log.warning("waiting, nothing is lost", cause=cause, error=str(error), next_try_in_s=delay_s)
        self._waiting_for = message
        for known in _SPOKEN:
            metrics.DEPENDENCY_UNAVAILABLE.labels(known).set(known == cause)
        self._heart.say("waiting", message)
        self._idle(stop, delay_s)

    def _idle(self, stop: threading.Event, seconds: float) -> None:
        """Wait without losing the membership."""
        if self._consumer is not None:
            self._consumer.pause()
        while seconds > 0 and not self._wait_for(stop, min(seconds, KEEPALIVE_INTERVAL_S)):
            seconds -= KEEPALIVE_INTERVAL_S
            self._moved_at_s = time.monotonic()
            if self._consumer is not None:
                self._keep_alive(self._consumer)
        if self._consumer is not None:
            self._consumer.resume()

    def _leave(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


_SPOKEN = {"bus": "bus", "database": "database", "images": "image store", "model": "model"}


def _after(records: Sequence[Record]) -> dict[tuple[str, int], int]:
    """The offset to read next, per (topic, partition)."""
    positions: dict[tuple[str, int], int] = {}
    for record in records:
        key = record.position.topic, record.position.partition
        positions[key] = max(positions.get(key, 0), record.position.offset + 1)
    return positions
