"""The producer: publishes frames in order per station, by way of the disk while the bus is unavailable (ADR 0003).

`send` only makes an id, encodes and hands over. A thread of the producer does the rest, and calls `on_durable`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog

from foundation.backoff import Backoff
from foundation.clock import Clock, utc_now
from ingest import metrics, schema
from ingest.bus.protocol import Publisher, RecordPosition
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge, SpoolFull
from ingest.frame import Frame, mint_frame_id
from ingest.producer.backlog import Backlog
from ingest.producer.in_flight import InFlight, PendingMessage
from ingest.producer.progress_wait import wait_while_moving
from ingest.producer.repairs import RepairReport
from ingest.producer.send_buffer import SendBuffer
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings

_READ_AHEAD_BYTES = 16_000_000
_SPOOL_BATCH_FRAMES = 64
_FIRST_RETRY_S, _MAX_RETRY_S = 0.25, 5.0
_CLOSE_TIMEOUT_S = 10.0

log = structlog.get_logger()


class ClaimCheckStore(Protocol):
    """Stores images that are too large for the bus; `storage.blobs.image_store.ImageStore` fits."""

    def put(self, data: bytes) -> str:
        """Store `data` and return its reference; any exception means that the store is unavailable now."""


class Producer:
    """Publishes frames; owns `publisher` and `spool`, and closes them.

    Up to `settings.max_memory_bytes` of messages are in memory; beyond that `send` waits. A frame is durable once it
    is on the bus or in the spool; `on_durable` is then called, in the producer's thread. Every drop is counted and
    logged.
    """

    def __init__(
        self,
        publisher: Publisher,
        settings: IngestSettings,
        spool: Spool,
        claim_check_store: ClaimCheckStore,
        clock: Clock = utc_now,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the producer's thread; `now_s` is the clock by which `flush` waits, in seconds."""
        self._publisher = publisher
        self._settings = settings
        self._backlog = Backlog(spool)
        self._claim_check_store = claim_check_store
        self._clock = clock
        self._now_s = now_s
        self._repairs = RepairReport()
        self._buffer = SendBuffer(settings.max_memory_bytes)
        # From here on only the producer's thread writes; `health` and `flush` read.
        self._in_flight = InFlight()
        self._by_reference: set[PendingMessage] = set()  # published without their image
        self._moved = 0  # frames that reached the bus or the spool
        self._bus_error: str | None = None  # None while the bus is available
        self._spool_error: str | None = None
        self._backoff = Backoff(_FIRST_RETRY_S, _MAX_RETRY_S)
        self._retry_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._thread.start()

    def send(self, frame: Frame, on_durable: Callable[[Frame], None]) -> UUID:
        """Take a frame and return its id; wait while memory is full.

        Raises:
            BusUnavailable: The producer is closed or has failed; the frame was not taken.
        """
        frame_id = mint_frame_id(frame)
        self._repairs.add(frame)
        message = schema.encode(frame, frame_id, self._clock(), None)
        self._buffer.put(PendingMessage(message, message.size_bytes, frame, on_durable))
        return frame_id

    def flush(
        self,
        stalled_after_s: float,
        stop: threading.Event | None = None,
        progress: Callable[[int], None] = lambda frames: None,
    ) -> None:
        """Wait until every frame is on the bus, or in the spool while the bus is unavailable; as long as frames move.

        Args:
            stalled_after_s: Seconds without any frame that reached the bus or the spool after which to give up.
            stop: From when it is set on, the wait ends after `stalled_after_s` even if frames move.
            progress: Called about twice per second with the number of frames that are not on the bus yet.

        Raises:
            BusUnavailable: Some frames are still in memory; they are tried again, and `close` puts them in the spool.
        """
        done = wait_while_moving(
            self._wait_until_settled,
            lambda: self._moved,
            stalled_after_s,
            self._now_s,
            stop,
            lambda: progress(self._buffer.frames + self._backlog.frames),
        )
        if not done and self._buffer.frames:
            waiting = f"{self._buffer.frames} frames are still in memory"
            reason = self._spool_error or self._bus_error or "the bus is slow"
            raise BusUnavailable(f"no frame moved for {stalled_after_s:g} s, and {waiting}: {reason}")
        if self._backlog.frames:
            log.info("frames wait in the spool for the bus", frames=self._backlog.frames)

    @property
    def spooled_frames(self) -> int:
        """Return the number of frames in the spool, which the next producer on it publishes; also after `close`."""
        return self._backlog.frames

    @property
    def frames_in_memory(self) -> int:
        """Return the number of frames that are neither on the bus nor in the spool; after `close` they are lost."""
        return self._buffer.frames

    def close(self) -> None:
        """Get every frame to the bus or into the spool within some seconds, and end; safe to call twice."""
        if self._buffer.is_closed:
            return
        self._buffer.wait_until(self._is_settled, _CLOSE_TIMEOUT_S)
        self._buffer.close()
        self._thread.join()
        self._publisher.close()
        self._backlog.close()

    def health(self) -> list[str]:
        """Return why the producer is not healthy, one sentence per reason; empty when it is."""
        waiting = [f"{self._backlog.frames} frames wait in the spool"] if self._backlog.frames else []
        return [*self.failures(), *waiting]

    def failures(self) -> list[str]:
        """Return what keeps frames from the bus and from the spool, one sentence per reason."""
        reasons = []
        if self._buffer.error is not None:
            reasons.append(f"the producer has stopped: {self._buffer.error}")
        if self._bus_error is not None:
            reasons.append(f"frames can't be published: {self._bus_error}")
        if self._spool_error is not None:
            reasons.append(self._spool_error)
        return reasons

    def _wait_until_settled(self, timeout_s: float) -> bool:
        self._buffer.wait_until(self._is_settled, timeout_s)
        self._buffer.raise_if_failed()
        return self._is_settled()

    def _is_settled(self) -> bool:
        if self._buffer.error is not None:
            return True
        return self._buffer.frames == 0 and (self._backlog.frames == 0 or self._bus_error is not None)

    # The producer's thread

    def _run(self) -> None:
        try:
            while self._buffer.wait_for_work(self._work_timeout_s()):
                self._take_outcomes()
                self._spool_incoming()
                self._fill_in_flight()
                self._publish_next()
            self._spool_remaining()
        except Exception as error:
            log.exception("the producer has stopped")
            self._buffer.fail(error)

    def _work_timeout_s(self) -> float | None:
        """Return the seconds until the next attempt, or None when nothing has to be tried again."""
        if self._bus_error is not None and self._in_flight.is_empty:
            return max(0.0, self._retry_at_s - time.monotonic())
        return _FIRST_RETRY_S if self._spool_error is not None else None

    def _take_outcomes(self) -> None:
        while (outcome := self._buffer.pop_outcome()) is not None:
            pending, error = outcome
            if isinstance(error, MessageTooLarge):
                self._retry_by_reference(pending, error)
            elif not self._in_flight.finish(pending):
                continue  # withdrawn since, and in the spool or in flight again
            elif error is not None:
                self._bus_failed(str(error), [pending])
            else:
                self._bus_succeeded()
                metrics.FRAMES_PUBLISHED.labels(pending.message.key).inc()
                self._finish(pending, is_durable=True)

    def _spool_incoming(self) -> None:
        """Write frames to the disk while the bus is unavailable, and until it has caught up with the spool."""
        while self._buffer.has_incoming and (self._bus_error is not None or self._backlog.has_unread):
            first = self._buffer.peek(_SPOOL_BATCH_FRAMES)
            try:
                written = self._backlog.append(first)
            except SpoolFull as error:
                if self._settings.when_spool_full == "drop_oldest" and self._drop_oldest():
                    continue
                if self._spool_error is None:
                    log.error("the spool takes no more frames", reason=str(error))
                self._spool_error = str(error)
                return
            for pending in first[:written]:
                self._buffer.pop()
                self._finish(pending, is_durable=True)
        self._spool_error = None

    def _fill_in_flight(self) -> None:
        if self._bus_error is None:
            self._add_to_in_flight(_READ_AHEAD_BYTES)
        elif self._in_flight.is_empty and time.monotonic() >= self._retry_at_s:
            self._add_to_in_flight(1)  # one message shows whether the bus is available again

    def _add_to_in_flight(self, read_ahead_bytes: int) -> None:
        """Add spooled messages up to `read_ahead_bytes` (1: a single message), then those from memory."""
        is_probe = read_ahead_bytes == 1
        while self._backlog.has_unread and self._in_flight.bytes_from_spool < read_ahead_bytes:
            for pending in self._backlog.read(read_ahead_bytes - self._in_flight.bytes_from_spool):
                self._in_flight.add(pending)
        while self._buffer.has_incoming and not self._backlog.has_unread:
            if is_probe and not self._in_flight.is_empty:
                return
            self._in_flight.add(self._buffer.pop())

    def _publish_next(self) -> None:
        while (pending := self._in_flight.start_next()) is not None:
            if len(pending.message.value) > self._settings.max_inline_image_bytes:
                self._by_reference.add(pending)
            try:
                self._publish(pending)
            except MessageTooLarge as error:
                self._retry_by_reference(pending, error)
            except (BusUnavailable, BusMisconfigured) as error:
                self._in_flight.finish(pending)
                self._bus_failed(str(error), [pending])

    def _publish(self, pending: PendingMessage) -> None:
        message = pending.message
        if pending in self._by_reference:
            try:
                reference = self._claim_check_store.put(message.value)
            except Exception as error:
                raise BusUnavailable(f"an image too large for the bus can't be stored: {error}") from error
            message = schema.refer(message, reference)
        self._publisher.publish(message, partial(self._delivered, pending))

    def _delivered(self, pending: PendingMessage, _: RecordPosition | None, error: Exception | None) -> None:
        """Pass on an outcome; called by the bus, in any thread."""
        self._buffer.put_outcome(pending, error)

    def _retry_by_reference(self, pending: PendingMessage, error: MessageTooLarge) -> None:
        """Publish without the image, because the bus's limit is below the settings'; drop it if that was tried."""
        if not self._in_flight.finish(pending):
            return
        if pending in self._by_reference:
            log.error("a frame is too large for the bus and is dropped", station=pending.message.key, error=str(error))
            metrics.count_dropped([pending.message.key], "too-large")
            self._finish(pending, is_durable=False)
            return
        self._by_reference.add(pending)
        self._in_flight.add_first(pending)
        self._buffer.wake()

    def _bus_failed(self, reason: str, not_sent: list[PendingMessage]) -> None:
        """Withdraw everything from the bus; messages from memory go to the spool, those from the spool stay there."""
        if self._bus_error is None:
            log.warning("the bus is unavailable; frames go to the spool", reason=reason)
        self._bus_error = reason
        self._retry_at_s = time.monotonic() + self._backoff.next_s()
        self._withdraw(not_sent)
        self._buffer.wake()

    def _bus_succeeded(self) -> None:
        if self._bus_error is not None:
            log.info("the bus is available again", spooled_frames=self._backlog.frames)
            self._bus_error = None
            self._backoff.reset()

    def _withdraw(self, not_sent: Sequence[PendingMessage] = ()) -> None:
        for pending in filter(self._is_dropped_from_spool, not_sent):
            log.error("a frame that the spool has dropped did not reach the bus", station=pending.message.key)
            metrics.count_dropped([pending.message.key], "spool-full")
        withdrawn = [*not_sent, *self._in_flight.withdraw(exclude=self._is_dropped_from_spool)]
        self._buffer.put_back([pending for pending in withdrawn if pending.spool_number is None])
        self._backlog.rewind()

    def _is_dropped_from_spool(self, pending: PendingMessage) -> bool:
        """Return whether the spool dropped a message in flight: only its outcome shows whether it is lost."""
        return pending.spool_number is not None and not self._backlog.holds(pending.spool_number)

    def _finish(self, pending: PendingMessage, *, is_durable: bool) -> None:
        self._moved += 1
        self._by_reference.discard(pending)
        if pending.spool_number is not None:
            self._backlog.release(pending.spool_number)
            self._buffer.notify()
            return
        if is_durable and pending.on_durable is not None and pending.frame is not None:
            pending.on_durable(pending.frame)
        self._buffer.release(pending)

    def _drop_oldest(self) -> bool:
        """Drop the oldest frames of the spool, or of memory if the spool is empty; return whether any was dropped."""
        if self._backlog.drop_oldest(self._in_flight.spool_numbers):
            self._in_flight.discard_spooled(lambda number: not self._backlog.holds(number))
            return True
        if not (self._buffer.senders_waiting and self._buffer.has_incoming):
            return False
        oldest = self._buffer.pop()
        log.error("memory and spool are full; the oldest frame is dropped", station=oldest.message.key)
        metrics.count_dropped([oldest.message.key], "spool-full")
        self._finish(oldest, is_durable=False)
        return True

    def _spool_remaining(self) -> None:
        """At the end, spool the unpublished frames; count those that do not fit as dropped."""
        self._take_outcomes()
        self._withdraw()
        for pending in self._in_flight.withdraw(exclude=lambda _: False):  # the spool dropped them; it is tried again
            self._buffer.put_unbounded(PendingMessage(pending.message, pending.size_bytes))
        self._bus_error = self._bus_error or "the producer is closed"
        self._spool_incoming()
        if self._buffer.has_incoming:
            remaining = self._buffer.peek(self._buffer.frames)
            log.error("frames are neither on the bus nor in the spool and are dropped", frames=len(remaining))
            metrics.count_dropped([pending.message.key for pending in remaining], "closed")
