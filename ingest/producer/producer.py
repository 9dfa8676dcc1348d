"""The producer: frames to the bus, in order per station, by way of the disk while the bus is away (ADR 0003).

`send` only mints, encodes and hands over. One thread of the producer's own does the rest, and calls `durable`.
"""

import threading
import time
from collections import deque
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
from ingest.producer.spool import Spool
from ingest.settings import IngestSettings

_FROM_SPOOL_BYTES = 16_000_000  # read ahead of the bus
_TO_SPOOL_AT_ONCE = 64
_FIRST_RETRY_S, _LAST_RETRY_S = 0.25, 5.0
_CLOSE_WITHIN_S = 10.0

log = structlog.get_logger()


class ClaimCheckStore(Protocol):
    """Where images too large for the bus are kept; `storage.blobs.image_store.ImageStore` fits."""

    def put(self, data: bytes) -> str:
        """Keep `data` and return the reference it can be got by. Any exception means: not now."""


class Producer:
    """Publishes frames; owns `publisher` and `spool` and closes them.

    Memory: `settings.max_memory_bytes` of messages, beyond which `send` waits. A frame is durable once it is on the
    bus or in the spool; `durable` is then called, in the producer's thread. Every drop is counted and logged.
    """

    def __init__(
        self,
        publisher: Publisher,
        settings: IngestSettings,
        spool: Spool,
        claim_check_store: ClaimCheckStore,
        clock: Clock = utc_now,
    ) -> None:
        self._publisher = publisher
        self._settings = settings
        self._backlog = Backlog(spool)
        self._claim_checks = claim_check_store
        self._clock = clock
        self._changed = threading.Condition()  # guards what send and acknowledgements share with the thread:
        self._incoming: deque[PendingMessage] = deque()
        self._outcomes: deque[tuple[PendingMessage, Exception | None]] = deque()
        self._memory_bytes = 0
        self._memory_frames = 0
        self._senders_waiting = 0
        self._woken = True
        self._closing = False
        self._broken: Exception | None = None
        self._lanes = InFlight()  # from here on the thread's own:
        self._away: str | None = None
        self._referred: set[PendingMessage] = set()  # messages that go without their image
        self._spool_trouble: str | None = None
        self._backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._thread.start()

    def send(self, frame: Frame, durable: Callable[[Frame], None]) -> UUID:
        """Take a frame over and return its id; waits while memory is full.

        Raises `BusUnavailable` when the producer is closed or broken; such a frame was not taken over.
        """
        frame_id = mint_frame_id(frame)
        message = schema.encode(frame, frame_id, self._clock(), None)
        waiting = PendingMessage(message, message.size_bytes, frame, durable)
        with self._changed:
            if not self._has_room(waiting.size_bytes):
                self._senders_waiting += 1
                self._wake()
                self._changed.wait_for(lambda: self._closing or self._broken or self._has_room(waiting.size_bytes))
                self._senders_waiting -= 1
            self._refuse_when_done()
            self._incoming.append(waiting)
            self._memory_bytes += waiting.size_bytes
            self._memory_frames += 1
            self._wake()
        return frame_id

    def flush(self, timeout_s: float) -> None:
        """Wait until every frame is on the bus, or in the spool while the bus is away.

        Raises `BusUnavailable` when some are neither after `timeout_s`; they stay in memory and are tried further.
        """
        with self._changed:
            self._changed.wait_for(self._settled, timeout_s)
            if self._broken is not None:
                self._refuse_when_done()
            if self._memory_frames:
                why = self._spool_trouble or self._away or "the bus is slow"
                raise BusUnavailable(
                    f"{self._memory_frames} frames are neither on the bus nor in the spool after {timeout_s:g} s: {why}"
                )
        if self._backlog.frames:
            log.info("frames wait in the spool for the bus", frames=self._backlog.frames)

    def close(self) -> None:
        """Get every frame to the bus or into the spool within some seconds, and end; safe to call twice."""
        with self._changed:
            if self._closing:
                return
            if self._broken is None:
                self._changed.wait_for(self._settled, _CLOSE_WITHIN_S)
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._publisher.close()
        self._backlog.close()

    def health(self) -> list[str]:
        """Why the producer is not well, a sentence each; empty when it is."""
        reasons = []
        if self._broken is not None:
            reasons.append(f"the producer has stopped: {self._broken}")
        if self._away is not None:
            reasons.append(f"frames can't be published: {self._away}")
        if self._backlog.frames:
            reasons.append(f"{self._backlog.frames} frames wait in the spool")
        if self._spool_trouble is not None:
            reasons.append(self._spool_trouble)
        return reasons

    def _has_room(self, size_bytes: int) -> bool:
        return self._memory_frames == 0 or self._memory_bytes + size_bytes <= self._settings.max_memory_bytes

    def _settled(self) -> bool:
        if self._broken is not None:
            return True
        return self._memory_frames == 0 and (self._backlog.frames == 0 or self._away is not None)

    def _refuse_when_done(self) -> None:
        if self._broken is not None:
            raise BusUnavailable(f"the producer has stopped: {self._broken}") from self._broken
        if self._closing:
            raise BusUnavailable("the producer is closed")

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._take_outcomes()
                self._to_spool()
                self._to_lanes()
                self._to_bus()
            self._keep_what_is_left()
        except Exception as error:
            log.exception("the producer has stopped")
            with self._changed:
                self._broken = error
                self._changed.notify_all()

    def _wait_for_work(self) -> bool:
        """Wait for frames, outcomes or the time of the next attempt; False at the end."""
        with self._changed:
            patience_s = None
            if self._away is not None and self._lanes.empty:
                patience_s = max(0.0, self._retry_at - time.monotonic())
            elif self._spool_trouble is not None:
                patience_s = _FIRST_RETRY_S
            self._changed.wait_for(lambda: self._woken or self._closing, patience_s)
            self._woken = False
            return not self._closing

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _take_outcomes(self) -> None:
        while self._outcomes:
            waiting, error = self._outcomes.popleft()
            if isinstance(error, MessageTooLarge):
                self._again_as_reference(waiting, error)
            elif not self._lanes.arrived(waiting):
                continue  # taken back meanwhile, and in the spool or on its way again
            elif error is not None:
                self._go_away(str(error), [waiting])
            else:
                self._come_back()
                metrics.FRAMES_PUBLISHED.labels(waiting.message.key).inc()
                self._done_with(waiting, durable=True)

    def _to_spool(self) -> None:
        """While the bus is away, and until it has caught up with the spool, frames go to the disk."""
        while self._incoming and (self._away is not None or self._backlog.unread):
            with self._changed:
                first = [self._incoming[index] for index in range(min(_TO_SPOOL_AT_ONCE, len(self._incoming)))]
            try:
                written = self._backlog.append(first)
            except SpoolFull as error:
                if self._settings.when_spool_full == "drop_oldest" and self._drop_oldest():
                    continue
                self._note_spool_trouble(str(error))
                return
            for waiting in first[:written]:
                self._incoming.popleft()
                self._done_with(waiting, durable=True)
        self._note_spool_trouble(None)

    def _to_lanes(self) -> None:
        if self._away is not None:
            if self._lanes.empty and time.monotonic() >= self._retry_at:
                self._add_to_lanes(just_one=True)  # see whether the bus is back
            return
        self._add_to_lanes(just_one=False)

    def _add_to_lanes(self, *, just_one: bool) -> None:
        read_ahead_bytes = 1 if just_one else _FROM_SPOOL_BYTES
        while self._backlog.unread and self._lanes.bytes_from_spool < read_ahead_bytes:
            for waiting in self._backlog.read(1 if just_one else read_ahead_bytes - self._lanes.bytes_from_spool):
                self._lanes.add(waiting)
        while self._incoming and not self._backlog.unread and not (just_one and not self._lanes.empty):
            self._lanes.add(self._incoming.popleft())

    def _to_bus(self) -> None:
        while (waiting := self._lanes.next_to_go()) is not None:
            if len(waiting.message.value) > self._settings.max_inline_image_bytes:
                self._referred.add(waiting)
            try:
                self._publish(waiting)
            except MessageTooLarge as error:
                self._again_as_reference(waiting, error)
            except (BusUnavailable, BusMisconfigured) as error:
                self._lanes.arrived(waiting)
                self._go_away(str(error), [waiting])

    def _publish(self, waiting: PendingMessage) -> None:
        message = waiting.message
        if waiting in self._referred:
            try:
                reference = self._claim_checks.put(message.value)
            except Exception as error:
                raise BusUnavailable(f"an image too large for the bus can't go to the image store: {error}") from error
            message = schema.refer(message, reference)
        self._publisher.publish(message, partial(self._acknowledged, waiting))

    def _acknowledged(self, waiting: PendingMessage, _place: RecordPosition | None, error: Exception | None) -> None:
        """Called by the bus, in a thread of its own."""
        with self._changed:
            self._outcomes.append((waiting, error))
            self._woken = True
            self._changed.notify_all()

    def _again_as_reference(self, waiting: PendingMessage, error: MessageTooLarge) -> None:
        """The bus takes smaller messages than the settings say: leave the image out; if that was it, give up."""
        if not self._lanes.arrived(waiting):
            return
        if waiting in self._referred:
            log.error("a frame is too large for the bus and is dropped", station=waiting.message.key, error=str(error))
            metrics.count_dropped([waiting.message.key], "too-large")
            self._done_with(waiting, durable=False)
            return
        self._referred.add(waiting)
        self._lanes.add_in_front(waiting)
        self._wake()

    def _go_away(self, reason: str, not_sent: list[PendingMessage]) -> None:
        """Take everything back from the bus; what came from memory goes to the spool, what is there stays."""
        if self._away is None:
            log.warning("the bus is away; frames go to the spool", reason=reason)
        self._away = reason
        self._retry_at = time.monotonic() + self._backoff.next_s()
        self._take_back(not_sent)
        self._wake()

    def _take_back(self, not_sent: Sequence[PendingMessage] = ()) -> None:
        for waiting in filter(self._is_gone_from_spool, not_sent):
            log.error("a frame that the spool gave up did not reach the bus either", station=waiting.message.key)
            metrics.count_dropped([waiting.message.key], "spool-full")
        back = [*not_sent, *self._lanes.take_back(stays=self._is_gone_from_spool)]
        with self._changed:
            self._incoming.extendleft(waiting for waiting in reversed(back) if waiting.spool_number is None)
        self._backlog.rewind()

    def _is_gone_from_spool(self, waiting: PendingMessage) -> bool:
        """Whether the spool gave it up while it was under way: only its outcome can tell whether it is lost."""
        return waiting.spool_number is not None and not self._backlog.holds(waiting.spool_number)

    def _keep_in_memory(self, waiting: PendingMessage) -> None:
        with self._changed:
            self._incoming.append(PendingMessage(waiting.message, waiting.size_bytes))
            self._memory_bytes += waiting.size_bytes
            self._memory_frames += 1

    def _come_back(self) -> None:
        if self._away is not None:
            log.info("the bus is back", spooled_frames=self._backlog.frames)
            self._away = None
            self._backoff.reset()

    def _done_with(self, waiting: PendingMessage, *, durable: bool) -> None:
        self._referred.discard(waiting)
        if waiting.spool_number is not None:
            self._backlog.release(waiting.spool_number)
            with self._changed:
                self._changed.notify_all()
            return
        if durable and waiting.durable is not None and waiting.frame is not None:
            waiting.durable(waiting.frame)
        with self._changed:
            self._memory_bytes -= waiting.size_bytes
            self._memory_frames -= 1
            self._changed.notify_all()

    def _drop_oldest(self) -> bool:
        """Make room in the spool, or in memory when there is nothing in the spool; whether anything was dropped."""
        if self._backlog.drop_oldest(self._lanes.spooled_under_way):
            self._lanes.forget(lambda number: not self._backlog.holds(number))
            return True
        if not (self._senders_waiting and self._incoming):
            return False
        oldest = self._incoming.popleft()
        log.error("memory and spool are full; the oldest frame is dropped", station=oldest.message.key)
        metrics.count_dropped([oldest.message.key], "spool-full")
        self._done_with(oldest, durable=False)
        return True

    def _keep_what_is_left(self) -> None:
        """At the end: what could not be published goes to the spool, and what does not fit there is counted."""
        self._take_outcomes()
        self._take_back()
        for waiting in self._lanes.take_back(stays=lambda _: False):  # the spool gave them up; now it is asked again
            self._keep_in_memory(waiting)
        self._away = self._away or "the producer is closed"
        self._to_spool()
        if self._incoming:
            log.error("frames are neither on the bus nor in the spool and are dropped", frames=len(self._incoming))
            metrics.count_dropped([waiting.message.key for waiting in self._incoming], "closed")

    def _note_spool_trouble(self, trouble: str | None) -> None:
        if trouble is not None and self._spool_trouble is None:
            log.error("the spool takes no more frames", reason=trouble)
        self._spool_trouble = trouble
