"""The loop that turns frames into verdicts, each exactly once (docs/adr/0006).

1. Poll a batch of records; nothing is committed yet.
2. Parse each message, fetch the images that travel as references, decode in threads.
3. Look up each station's active normal set, its references and its threshold: one set a station and batch.
4. Score per station in micro-batches.
5. Keep images and anomaly maps in the image store.
6. Write verdicts, dead letters and parked frames in one transaction.
7. Commit the offsets.

A crash before 6 leaves images that the next try finds again; a crash between 6 and 7 gives frames that have their
verdicts, which are then left out. Steps 2 to 6 run in a thread of their own. The thread that called `run` owns the
consumer and goes on polling it, paused, so that a long batch costs no membership. Parked frames whose station has a
normal set by now come before new ones. When bus, database, image store or model are away, the batch is dropped
uncommitted, the consumer rewound, and all is tried again after a while.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TypeVar

import structlog
import torch

from ingest.bus.protocol import Bus, Consumer, Record
from ingest.errors import BusUnavailable
from scorer import metrics
from scorer.backbones import registry as backbones
from scorer.detectors import registry
from scorer.devices import spare_cores
from scorer.heart import Heart
from scorer.judging import Judge
from scorer.kept_images import KeptImages
from scorer.kill_points import reached
from scorer.pipeline import Pipeline
from scorer.progress import Progress
from scorer.retriable import CAUSES, RETRIABLE, cause_of
from scorer.settings import ScorerSettings
from storage.database import Database
from storage.images import ImageStore

log = structlog.get_logger()

Answer = TypeVar("Answer")

KEEP_POLLING_EVERY_S = 1.0
STUCK_AFTER_S = 120.0


class Worker:
    """One member of the scoring group; run it once."""

    def __init__(
        self,
        bus: Bus,
        database: Database,
        images: ImageStore,
        settings: ScorerSettings,
        topic: str,
        name: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        wait_for: Callable[[threading.Event, float], bool] = threading.Event.wait,
        load: registry.Load = registry.load,
    ) -> None:
        self._bus = bus
        self._database = database
        self._settings = settings
        self._topic = topic
        self._wait_for = wait_for
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self._threads = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decoding")
        kept = KeptImages(images)
        judge = Judge(database, kept, settings, name, clock, load)
        self._pipeline = Pipeline(database, kept, settings, name, clock, self._threads, judge)
        self._heart = Heart(database, name, settings.detector, settings.beat_every_s, clock)
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
        `UnknownDetector` or `SchemaOutdated`, is raised; nothing of the batch in hand is committed then.
        """
        registry.require_known(self._settings.detector)
        backbones.require_known(self._settings.backbone)
        torch.set_num_threads(self._settings.torch_threads or spare_cores())
        with ExitStack() as closing:
            closing.callback(self._threads.shutdown)
            closing.callback(self._scoring.shutdown)
            closing.callback(self._leave)
            closing.enter_context(self._heart)
            while not stop.is_set():
                try:
                    worked = self._turn(progress)
                    self._all_is_well()
                    if drain and not worked and self._is_drained():
                        break
                except RETRIABLE as error:
                    self._wait_out(error, stop)
        return self._done

    def health(self) -> list[str]:
        """Why the worker is not well, one sentence a reason; from any thread."""
        reasons = [self._waiting_for] if self._waiting_for else []
        still_s = time.monotonic() - self._moved_at_s
        if still_s > STUCK_AFTER_S:
            reasons.append(f"The worker has been busy with the same batch for {still_s:.0f} s.")
        return reasons

    def _turn(self, progress: Callable[[Progress], None]) -> bool:
        """Do one batch, of parked frames before new ones; say whether there was any."""
        self._moved_at_s = time.monotonic()
        consumer = self._ready_consumer()
        self._measure_lag(consumer)
        if self._is_time_to_look() and (unparked := self._apart(consumer, self._pipeline.process_parked)) is not None:
            self._looked_at_s = -math.inf  # there may be more
            self._add(unparked, progress)
            return True
        records = self._polled(consumer, self._settings.batch_frames, self._settings.poll_timeout_s)
        if not records:
            return False
        reached("polled")
        self._add(self._apart(consumer, lambda: self._pipeline.process(records)), progress)
        with metrics.STAGE_SECONDS.labels("commit").time():
            consumer.commit(_after(records))
        reached("committed")
        return True

    def _ready_consumer(self) -> Consumer:
        if self._consumer is None:
            self._database.require_current_schema()
            self._scoring.submit(self._pipeline.prepare).result()
            self._consumer = self._bus.consumer(self._topic, self._settings.group)
        if self._must_rewind:
            self._consumer.rewind()
            self._must_rewind = False
        return self._consumer

    def _polled(self, consumer: Consumer, most: int, timeout_s: float) -> Sequence[Record]:
        self._polled_at_s = time.monotonic()
        return consumer.poll(most, timeout_s)

    def _apart(self, consumer: Consumer, job: Callable[[], Answer]) -> Answer:
        """Do a job in the scoring thread while the membership is kept alive from this one."""
        future: Future[Answer] = self._scoring.submit(job)
        paused = False
        try:
            while not future.done():
                wait([future], KEEP_POLLING_EVERY_S)
                if time.monotonic() - self._polled_at_s > KEEP_POLLING_EVERY_S:
                    if not paused:
                        consumer.pause()
                        paused = True
                    self._keep_alive(consumer)
        finally:
            if paused:
                consumer.resume()
        return future.result()

    def _keep_alive(self, consumer: Consumer) -> None:
        try:
            self._polled(consumer, 1, 0.0)
        except BusUnavailable as error:  # the next poll or commit meets it too, once the work in hand is done
            log.debug("the bus is away while scoring", error=str(error))

    def _is_time_to_look(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_at_s < self._settings.look_for_changes_every_s:
            return False
        self._looked_at_s = now_s
        return True

    def _measure_lag(self, consumer: Consumer) -> int:
        """Tell how far behind we are, now and then."""
        now_s = time.monotonic()
        if now_s - self._measured_at_s < self._settings.beat_every_s:
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
        return consumer.group_lag() == 0 and not self._apart(consumer, self._pipeline.has_parked_ready)

    def _all_is_well(self) -> None:
        if self._waiting_for:
            log.info("all is there again", waited_for=self._waiting_for)
        self._failures = 0
        self._waiting_for = ""
        for cause in CAUSES.values():
            metrics.WAITING.labels(cause).set(0)
        self._heart.say("running")

    def _wait_out(self, error: Exception, stop: threading.Event) -> None:
        """Say what is away, once, and wait; the batch in hand will be read again."""
        cause, message = cause_of(error), f"Waiting for the {_SPOKEN[cause_of(error)]}: {error}"
        self._must_rewind = self._consumer is not None
        delay_s = min(self._settings.retry_most_s, self._settings.retry_first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        if message != self._waiting_for:
            log.warning("waiting, nothing is lost", cause=cause, error=str(error), next_try_in_s=delay_s)
        self._waiting_for = message
        for known in CAUSES.values():
            metrics.WAITING.labels(known).set(known == cause)
        self._heart.say("waiting", message)
        self._idle(stop, delay_s)

    def _idle(self, stop: threading.Event, seconds: float) -> None:
        """Wait without losing the membership."""
        if self._consumer is not None:
            self._consumer.pause()
        while seconds > 0 and not self._wait_for(stop, min(seconds, KEEP_POLLING_EVERY_S)):
            seconds -= KEEP_POLLING_EVERY_S
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
        key = record.place.topic, record.place.partition
        positions[key] = max(positions.get(key, 0), record.place.offset + 1)
    return positions
