"""Replay of dead letters: their messages are published again unchanged, and marked once they are durable.

What the bus could not read is read again from its place, as it may be readable by now, for example with a newer client.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from andon.errors import CommandFailed, CommandIncomplete
from foundation.clock import utc_now
from ingest.bus.protocol import Bus, DeliveryCallback, Message, Record, RecordPosition
from storage.actions import dead_letters as actions
from storage.auth.actors import Actor
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import dead_letters
from storage.line.dead_letters import UNREADABLE, DeadLetter

BATCH_SIZE = 50
FLUSH_TIMEOUT_S = 30.0


def pending_letters(database: Database, letter_id: int | None, reason: str | None) -> Iterator[Sequence[DeadLetter]]:
    """Return one dead letter, or all that were not replayed, oldest first in batches.

    Dead letters that are recorded during the replay are not included.

    Args:
        database: Where dead letters are recorded.
        letter_id: The one to replay; None for all.
        reason: Restricts them to this reason, such as ``no-headers``.

    Raises:
        NotFound: No dead letter has that id.
        CommandFailed: No pending dead letter has that reason.
    """
    with database.read() as session:
        if letter_id is not None:
            letters = [dead_letters.get(session, letter_id)]
        else:
            pending = dead_letters.count(session, replayed=False)
            letters = dead_letters.recent(session, replayed=False, limit=max(1, pending))
    selected = [letter for letter in letters if reason is None or letter.reason == reason]
    if not selected and reason is not None:
        reasons = ", ".join(sorted({letter.reason for letter in letters})) or "none"
        raise CommandFailed(f"No dead letter has the reason {reason}; the reasons of the pending ones are: {reasons}.")
    selected.reverse()
    return (selected[start : start + BATCH_SIZE] for start in range(0, len(selected), BATCH_SIZE))


def replay(
    batches: Iterator[Sequence[DeadLetter]],
    database: Database,
    images: ImageStore,
    bus: Bus,
    topic: str,
    progress: Callable[[int], None],
    actor: Actor,
) -> int:
    """Publish each batch to `topic`, mark it once the bus has acknowledged it, and return the number replayed.

    After an interruption the rest stays unmarked. A message that was sent but not marked is sent again by the next
    replay and makes no second verdict.

    Raises:
        PermissionDenied: The actor's role does not allow it.
        BusUnavailable: The bus did not acknowledge a batch in time.
        StorageUnavailable: The database or the image store can't be reached.
        NotFound: A payload is missing from the image store.
        CommandIncomplete: Records that the bus could not read still can't be read, or are no longer on the bus; all
            others were replayed.
    """
    with database.read() as session:
        actions.require_replay(session, actor)
    replayed = 0
    unreadable: list[int] = []
    with closing(bus.publisher(topic)) as publisher:
        for batch in batches:
            durable_ids: list[int] = []
            failures: list[Exception] = []
            for letter in batch:
                message = _message(letter, images, bus)
                if message is None:
                    unreadable.append(letter.id or 0)
                    continue
                publisher.publish(message, _record_outcome(letter, durable_ids, failures))
            try:
                publisher.flush(FLUSH_TIMEOUT_S)
            finally:
                with database.begin() as session:
                    actions.mark_replayed(session, actor, durable_ids, utc_now())
            replayed += len(durable_ids)
            progress(replayed)
            if failures:
                raise failures[0]
    if unreadable:
        raise CommandIncomplete(_explain_unreadable(unreadable, replayed))
    return replayed


def _message(letter: DeadLetter, images: ImageStore, bus: Bus) -> Message | None:
    """Return the message to publish; None for one that the bus still can't read."""
    if letter.reason != UNREADABLE:
        return Message(letter.key or letter.station or "", images.get(letter.payload_reference), letter.headers)
    record = bus.read(RecordPosition(letter.topic, letter.partition, letter.offset))
    return Message(record.key or "", record.value, record.headers) if isinstance(record, Record) else None


def _explain_unreadable(letter_ids: Sequence[int], replayed: int) -> str:
    listed = ", ".join(map(str, letter_ids[:5])) + (", …" if len(letter_ids) > 5 else "")
    return (
        f"{replayed} replayed, but the bus can't read {len(letter_ids)} ({listed}), or no longer has them:"
        " publish those frames again from their source."
    )


def _record_outcome(letter: DeadLetter, durable_ids: list[int], failures: list[Exception]) -> DeliveryCallback:
    """Return a callback that adds the letter's id, or the error, to one of the lists."""
    assert letter.id is not None
    letter_id = letter.id

    def on_delivery(_: RecordPosition | None, error: Exception | None) -> None:
        if error is None:
            durable_ids.append(letter_id)
        else:
            failures.append(error)

    return on_delivery
