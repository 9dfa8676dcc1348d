"""The bus: a durable log of messages, in order per key, read by groups that each remember how far they came.

Delivery is at least once. `KafkaBus` and `EmbeddedBus` keep the same contract, and one suite of tests holds them to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MAX_MESSAGE_BYTES = 10_000_000  # key, value and headers together; every bus refuses more with `MessageTooLarge`

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: `key` decides the partition, so one key's messages stay in order."""

    key: str
    value: bytes
    headers: Headers

    @property
    def size_bytes(self) -> int:
        """Bytes of key, value and headers together, the texts counted at their worst."""
        return len(self.value) + 4 * len(self.key) + sum(4 * len(name) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True, order=True)
class RecordPosition:
    """Where a record lies in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """A message as read back; `key` is None where a foreign producer sent none. `appended_at` is UTC."""

    position: RecordPosition
    key: str | None
    value: bytes
    headers: Headers
    appended_at: datetime


DeliveryCallback = Callable[[RecordPosition | None, Exception | None], None]


class Publisher(Protocol):
    """Sends messages; each is acknowledged or failed exactly once, from any thread."""

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        """Hand one message over and return; `acknowledged(place, None)` once durable, else `acknowledged(None, error)`.

        Raises `BusUnavailable` when it can't even be handed over, `BusMisconfigured` when it never will be, of which
        `MessageTooLarge` speaks of this one message only. Memory is not bounded here; whoever hands over bounds it.
        """

    def flush(self, timeout_s: float) -> None:
        """Wait until everything handed over is acknowledged or failed; raise `BusUnavailable` after `timeout_s`."""

    def close(self) -> None:
        """Flush what can be flushed and let go; safe to call twice."""


class Consumer(Protocol):
    """One member of a group; used from one thread. Nothing is committed but by `commit`."""

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return up to `max_records` next records of the partitions that are ours and not paused.

        Also keeps the membership alive, so call it at least every few seconds even while paused.
        Raises `BusUnavailable`.
        """

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Durably say, per (topic, partition), the offset to read next.

        Partitions that are no longer ours are left out in silence: their new owner reads the frames again, and
        verdicts are idempotent. Raises `BusUnavailable`.
        """

    def pause(self) -> None:
        """Hand out nothing until `resume`, of partitions gained meanwhile neither; membership and positions stay."""

    def resume(self) -> None:
        """Undo `pause`."""

    def seek(self, position: RecordPosition) -> None:
        """Read this place's partition from its offset on; left out in silence when the partition is not ours."""

    def rewind(self) -> None:
        """Go back to the last committed position on every partition that is ours."""

    def assignment(self) -> frozenset[tuple[str, int]]:
        """The (topic, partition)s that are ours now."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """How many records of each of our partitions lie beyond the group's committed position."""

    def group_lag(self) -> int:
        """How many records of the whole topic do, partitions of other members, dead or alive, included."""

    def close(self) -> None:
        """Leave the group without committing; safe to call twice."""


class Bus(Protocol):
    """A way to get publishers and consumers, and to look at single records.

    A topic that is not there when somebody first publishes or consumes is made with the settings' partitions.
    """

    def ensure_topic(self, topic: str, partitions: int) -> None:
        """Create the topic unless it is there; an existing one is left as it is."""

    def publisher(self, topic: str) -> Publisher: ...

    def consumer(self, topic: str, group: str) -> Consumer:
        """Join `group` on `topic`; a group without a committed position starts at the oldest record."""

    def read(self, position: RecordPosition) -> Record | None:
        """The record at exactly this place, or None when it is gone."""

    def close(self) -> None: ...
