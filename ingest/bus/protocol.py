"""The bus: a durable log of messages, ordered per key, read by consumer groups that each commit their position.

Delivery is at least once. `KafkaBus` and `EmbeddedBus` implement the same contract, and one test suite runs on both.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MAX_MESSAGE_BYTES = 10_000_000
"""Key, value and headers together; every bus refuses larger messages with `MessageTooLarge`."""

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish; `key` decides the partition, so the messages of one key stay in order."""

    key: str
    value: bytes
    headers: Headers

    @property
    def size_bytes(self) -> int:
        """Return the bytes of key, value and headers together, each character of a text counted as four."""
        return len(self.value) + 4 * len(self.key) + sum(4 * len(name) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True, order=True)
class RecordPosition:
    """The position of a record in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it is read back; `key` is None where a foreign producer sent none. `appended_at` is UTC."""

    position: RecordPosition
    key: str | None
    value: bytes
    headers: Headers
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record that exists in the log and can't be read, however often it is tried.

    Its reader passes it and reports it, so that it stops nobody; `Bus.read` may read it later, such as after a codec
    was installed. `error` is a sentence. `raw` has the bytes as far as the log returned them, those of its whole batch
    where they can't be told apart, and none where there are none.
    """

    position: RecordPosition
    error: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class DeletedRecords:
    """`count` records, of which `position` is the first, that were deleted before this group had read them.

    Where a log has entries of its own among its records, as Kafka has for transactions, they are counted too.
    """

    position: RecordPosition
    count: int


LogEntry = Record | UnreadableRecord | DeletedRecords


def offset_after(entry: LogEntry) -> int:
    """Return the offset to read next after an entry."""
    return entry.position.offset + (entry.count if isinstance(entry, DeletedRecords) else 1)


def readable(entries: Iterable[LogEntry]) -> list[Record]:
    """Return the records among the entries, for a reader that leaves it to others to report the rest."""
    return [entry for entry in entries if isinstance(entry, Record)]


DeliveryCallback = Callable[[RecordPosition | None, Exception | None], None]
"""Called with the position of a message that is durable and None, or with None and the error."""


class Publisher(Protocol):
    """Publishes messages, and reports exactly one outcome per message."""

    def publish(self, message: Message, on_delivery: DeliveryCallback) -> None:
        """Hand over a message and return; `on_delivery` gets the outcome later, in any thread.

        Memory is not bounded here: the caller bounds how much it hands over.

        Raises:
            BusUnavailable: The message can't be handed over now.
            BusMisconfigured: It never can be; `MessageTooLarge` concerns this one message only.
        """

    def flush(self, timeout_s: float) -> None:
        """Wait until every message that was handed over has an outcome; raise `BusUnavailable` after `timeout_s`."""

    def close(self) -> None:
        """Flush what can be flushed, and close; safe to call twice."""


class Consumer(Protocol):
    """One member of a consumer group; used from one thread.

    Only `commit` commits records. A partition of which the group has no committed position yet gets its oldest record
    as one, so that what is deleted later is missed; and entries of the log that are no records are committed when they
    are passed, so that they do not count as lag.
    """

    def poll(self, max_records: int, timeout_s: float) -> Sequence[LogEntry]:
        """Return up to `max_records` next records of the partitions that are assigned and not paused.

        A record that can't be read after a bounded number of tries takes its place in the sequence as an
        `UnreadableRecord`: no record stops its partition. Records that were deleted unread are `DeletedRecords`, in
        addition to `max_records`. Records of transactions that were aborted, or have not ended, are not returned.

        It also keeps the membership alive, so call it at least every few seconds, even while paused.

        Raises:
            BusUnavailable: The bus can't be reached; the records are not lost.
        """

    def commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Commit durably, per (topic, partition), the offset to read next.

        Partitions that are assigned to another member by now are skipped without an error: that member reads the
        frames again, and verdicts are idempotent.

        Raises:
            BusUnavailable: The bus can't be reached; nothing is committed.
        """

    def pause(self) -> None:
        """Return no records until `resume`, also of partitions assigned since; membership and positions stay."""

    def resume(self) -> None:
        """Undo `pause`."""

    def seek(self, position: RecordPosition) -> None:
        """Read the partition of `position` from its offset on; do nothing when the partition is not assigned."""

    def rewind(self) -> None:
        """Return to the last committed position of every assigned partition."""

    def assignment(self) -> frozenset[tuple[str, int]]:
        """Return the assigned (topic, partition) pairs."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return the number of records beyond the group's committed position, per assigned (topic, partition).

        Records of transactions that have not ended are not counted; records that were deleted unread are, until `poll`
        has reported them and they are committed.
        """

    def group_lag(self) -> int:
        """Return the same summed over the whole topic, with the partitions of other members, alive or not."""

    def close(self) -> None:
        """Leave the group without committing; safe to call twice."""


class Bus(Protocol):
    """Opens publishers and consumers, and reads single records.

    A topic that does not exist on first use is created with the partitions of the settings.
    """

    def ensure_topic(self, topic: str, partitions: int) -> None:
        """Create the topic unless it exists; an existing one stays as it is."""

    def publisher(self, topic: str) -> Publisher:
        """Return a publisher on `topic`."""

    def consumer(self, topic: str, group: str) -> Consumer:
        """Join `group` on `topic`; a group without a committed position starts at the oldest record."""

    def read(self, position: RecordPosition) -> Record | UnreadableRecord | None:
        """Return the record at exactly this position, or None when it is no longer retained."""

    def close(self) -> None:
        """Close what the bus itself holds open; publishers and consumers are closed by their users."""
