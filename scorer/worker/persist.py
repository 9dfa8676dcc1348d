"""Step 7 of the worker: store images and anomaly maps, then record the results of a batch in one transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog

from foundation.clock import Clock
from foundation.errors import AndonError
from foundation.failpoints import failpoint
from scorer import isolation, metrics
from scorer.chunks import chunks
from scorer.images import RetriableImageStore
from scorer.imaging.regions import exceeding_regions
from scorer.worker import records
from scorer.worker.batch import Decided, DecidedBatch, Polled, Released
from scorer.worker.decode import FRAMES_PER_TASK
from scorer.worker.progress import Progress
from scorer.worker.records import StoredMap
from storage.blobs.anomaly_maps import encode_map
from storage.database.engine import Database
from storage.line import dead_letters, drops, parked_frames, stations, verdicts
from storage.line.dead_letters import DeadLetter
from storage.line.drops import DropReport
from storage.line.parked_frames import ParkedFrame
from storage.line.verdicts import Verdict

log = structlog.get_logger()

T = TypeVar("T")
Stored = TypeVar("Stored")
Row = TypeVar("Row", Verdict, ParkedFrame)


@dataclass(frozen=True, slots=True)
class BatchRecords:
    """The rows of a batch, written together or not at all.

    `released` are parked frames that wait no longer, `drops` frames that were deleted before they were read.
    """

    verdicts: Sequence[Verdict]
    letters: Sequence[DeadLetter]
    parked: Sequence[ParkedFrame]
    released: Sequence[UUID]
    drops: Sequence[DropReport] = ()


class BatchWriter:
    """Writes batches, one at a time, as the worker of this name."""

    def __init__(
        self,
        database: Database,
        images: RetriableImageStore,
        name: str,
        clock: Clock,
        storing: Executor,
        threads: int,
    ) -> None:
        """Encode and store maps in the executor `storing`, which has this number of threads."""
        self._database = database
        self._images = images
        self._name = name
        self._clock = clock
        self._storing = storing
        self._threads = threads

    def write(self, batch: DecidedBatch) -> Progress:
        """Store images and maps, then write all rows; return the counts of new rows.

        A frame that can't be written, not even alone, becomes a dead letter.

        Raises:
            Retriable: The image store or the database is unavailable; no row is written then.
            Exception: None of several frames can be written, so it is for no frame's sake.
        """
        try:
            return self._write(batch)
        except (AndonError, MemoryError):
            raise
        except Exception as error:
            parts = isolation.split(batch)
            log.exception("a batch can't be written, each frame is tried alone", frames=len(parts))
            return self._write_alone(parts, error)

    def _write(self, batch: DecidedBatch) -> Progress:
        rows = self._records(batch)
        failpoint("stored")
        return self._record(rows) + Progress(frames=_frames_read(batch))

    def _write_alone(self, parts: Sequence[DecidedBatch], cause: Exception) -> Progress:
        """Write frames one by one, and those that fail as dead letters; raise `cause` where all of several fail."""
        progress = Progress()
        failed: list[tuple[DecidedBatch, Exception]] = []
        for part in parts:
            try:
                progress += self._write(part)
            except (AndonError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001  it is in the dead letter
                failed.append((part, error))
        if len(failed) == len(parts) > 1:
            raise cause
        for part, reason in failed:
            progress += self._write(isolation.reject_whole(part, reason))
        return progress

    def _records(self, batch: DecidedBatch) -> BatchRecords:
        """Return the rows of a batch, once all images and maps that they refer to are stored."""
        letters = self._dead_letters(batch)
        unscored = [
            records.unscored_verdict(frame, frame.image_reference.result(), self._name, self._clock())
            for frame in batch.unscored
        ]
        bad = [
            records.bad_picture_verdict(frame, frame.image_reference.result(), self._name, self._clock())
            for frame in batch.bad_pictures
        ]
        parked = [records.parked_frame(frame, frame.image_reference.result(), self._clock()) for frame in batch.to_park]
        scored = self._scored_verdicts(batch.decided)
        if isinstance(batch.source, Polled):
            dropped = [records.drop_report(deleted, self._clock()) for deleted in batch.source.deleted]
            return BatchRecords([*unscored, *bad, *scored], letters, parked, [], dropped)
        return BatchRecords([*unscored, *bad, *scored], letters, [], _released(batch.source, parked))

    def _scored_verdicts(self, decided: Sequence[Decided]) -> list[Verdict]:
        maps = self._in_threads(self._store_map, decided)
        return [
            records.scored_verdict(each, stored, self._name, self._clock())
            for each, stored in zip(decided, maps, strict=True)
        ]

    def _store_map(self, decided: Decided) -> StoredMap:
        """Store the anomaly map over the whole image as PNG, and find where it exceeds the frame's limit."""
        scored, threshold = decided.scored, decided.scored.recipe.threshold
        full_map = scored.recipe.framing.map_to_image(scored.anomaly_map, scored.height, scored.width)
        regions = exceeding_regions(full_map, decided.decision, scored.score, threshold.value, threshold.review_limit)
        return StoredMap(self._images.put(encode_map(full_map)), regions)

    def _dead_letters(self, batch: DecidedBatch) -> list[DeadLetter]:
        payloads = self._in_threads(self._images.put, [rejected.message.value for rejected in batch.rejected])
        return [
            records.dead_letter(rejected, payload, self._clock())
            for rejected, payload in zip(batch.rejected, payloads, strict=True)
        ]

    def _in_threads(self, store: Callable[[T], Stored], values: Sequence[T]) -> list[Stored]:
        """Apply `store` to each value, several to a task; return the results in order."""
        parts = chunks(values, FRAMES_PER_TASK, self._threads)
        stored = self._storing.map(lambda part: [store(value) for value in part], parts)
        return [result for results in stored for result in results]

    def _record(self, rows: BatchRecords) -> Progress:
        with self._database.begin() as session:
            station_ids = {verdict.station_id for verdict in rows.verdicts} | {
                frame.station_id for frame in rows.parked
            }
            names = stations.names_of(session, station_ids)
            new_verdict_ids = verdicts.record(session, rows.verdicts)
            new_letters = dead_letters.record(session, rows.letters)
            new_parked_ids = parked_frames.park(session, rows.parked)
            parked_frames.release(session, rows.released)
            drops.record(session, rows.drops)
            failpoint("writing")
        failpoint("written")
        new_verdicts = _new(rows.verdicts, new_verdict_ids)
        new_parked = _new(rows.parked, new_parked_ids)
        _count(new_verdicts, new_letters, new_parked, names, self._clock)
        deleted = sum(drop.frames for drop in rows.drops)
        metrics.FRAMES_DELETED_UNREAD.inc(deleted)
        return Progress(
            verdicts=len(new_verdicts),
            flagged=sum(verdict.decision == "flag" for verdict in new_verdicts),
            bad_pictures=sum(verdict.decision == "bad_picture" for verdict in new_verdicts),
            dead_letters=len(new_letters),
            parked=len(new_parked),
            deleted=deleted,
        )


def _frames_read(batch: DecidedBatch) -> int:
    """Return how many frames were read from the bus; parked ones were counted when they were parked."""
    return batch.source.frames if isinstance(batch.source, Polled) else 0


def _released(source: Released, still_parked: Sequence[ParkedFrame]) -> list[UUID]:
    waiting = {frame.frame_id for frame in still_parked}
    return [frame.frame_id for frame in source.frames if frame.frame_id not in waiting]


def _new(rows: Sequence[Row], new_ids: Collection[UUID]) -> list[Row]:
    """Return the rows of frames that are new, one per frame."""
    by_id = {row.frame_id: row for row in reversed(rows)}
    return [row for frame_id, row in reversed(by_id.items()) if frame_id in new_ids]


def _count(
    new_verdicts: Sequence[Verdict],
    new_letters: Sequence[DeadLetter],
    new_parked: Sequence[ParkedFrame],
    names: Mapping[int, str],
    clock: Clock,
) -> None:
    """Count new rows in the metrics, by the names of their stations."""
    now = clock()
    for verdict in new_verdicts:
        name = names[verdict.station_id]
        metrics.VERDICTS.labels(name, verdict.decision).inc()
        if verdict.is_borderline:
            metrics.BORDERLINE.labels(name).inc()
        if verdict.picture_problem is not None:
            metrics.BAD_PICTURES.labels(name, verdict.picture_problem).inc()
        if verdict.score is not None:
            metrics.SCORE.labels(name).observe(verdict.score)
        latency_s = max(0.0, (now - verdict.captured_at).total_seconds())
        metrics.TRIGGER_TO_VERDICT_SECONDS.labels(name).observe(latency_s)
        metrics.LAST_FRAME_TIMESTAMP_SECONDS.labels(name).set(verdict.arrived_at.timestamp())
        if verdict.stamped_at is not None:
            metrics.IMPLAUSIBLE_CAPTURE_TIMES.labels(name).inc()
    for letter in new_letters:
        metrics.DEAD_LETTERS.labels(letter.reason).inc()
    for frame in new_parked:
        metrics.PARKED_FRAMES.labels(names[frame.station_id]).inc()
