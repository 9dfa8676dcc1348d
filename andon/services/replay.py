"""Replaying dead letters: their messages go to the bus again, byte for byte, and are marked once they are durable."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from andon.errors import CommandFailed
from foundation.clock import utc_now
from ingest.bus.protocol import Bus, Message, RecordPosition
from storage.actions import dead_letters as actions
from storage.auth.actors import Actor
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import dead_letters
from storage.line.dead_letters import DeadLetter

BATCH_SIZE = 50
FLUSH_TIMEOUT_S = 30.0


def pending_letters(database: Database, letter_id: int | None, reason: str | None) -> Iterator[Sequence[DeadLetter]]:
    """The one letter, or all that were not replayed (of one reason, if named), in batches, oldest first.

    Raises `NotFound`, and `Refused` when there is none of that reason. What is recorded while replaying is left out.
    """
    with database.read() as session:
        if letter_id is not None:
            found = [dead_letters.get(session, letter_id)]
        else:
            everything = dead_letters.count(session, replayed=False)
            found = dead_letters.recent(session, replayed=False, limit=max(1, everything))
    chosen = [letter for letter in found if reason is None or letter.reason == reason]
    if not chosen and reason is not None:
        reasons = ", ".join(sorted({letter.reason for letter in found})) or "none at all"
        raise CommandFailed(f"No dead letter has the reason {reason}; those that wait have: {reasons}.")
    chosen.reverse()
    return (chosen[start : start + BATCH_SIZE] for start in range(0, len(chosen), BATCH_SIZE))


def replay(
    batches: Iterator[Sequence[DeadLetter]],
    database: Database,
    images: ImageStore,
    bus: Bus,
    topic: str,
    progress: Callable[[int], None],
    actor: Actor,
) -> int:
    """Publish each batch to `topic`, mark it once acknowledged, and return how many were replayed.

    A stop in between leaves the rest unmarked; a message sent but not marked is sent again by the next replay, and
    makes no second verdict. Raises `PermissionDenied`, `BusUnavailable`, `StorageUnavailable`, `NotFound` (no payload).
    """
    with database.read() as session:
        actions.require_replay(session, actor)
    done = 0
    with closing(bus.publisher(topic)) as publisher:
        for batch in batches:
            durable: list[int] = []
            failures: list[Exception] = []
            for letter in batch:
                message = Message(
                    letter.key or letter.station or "", images.get(letter.payload_reference), letter.headers
                )
                publisher.publish(message, _outcome(letter, durable, failures))
            try:
                publisher.flush(FLUSH_TIMEOUT_S)
            finally:
                _mark(database, durable, actor)
            done += len(durable)
            progress(done)
            if failures:
                raise failures[0]
    return done


def _mark(database: Database, letter_ids: Sequence[int], actor: Actor) -> None:
    with database.begin() as session:
        actions.mark_replayed(session, actor, letter_ids, utc_now())


def _outcome(
    letter: DeadLetter, durable: list[int], failures: list[Exception]
) -> Callable[[RecordPosition | None, Exception | None], None]:
    assert letter.id is not None
    letter_id = letter.id

    def on_delivery(_: RecordPosition | None, error: Exception | None) -> None:
        if error is None:
            durable.append(letter_id)
        else:
            failures.append(error)

    return on_delivery
