"""The outbox: one row per verdict and output, written with the verdict and deleted after the delivery.

A row is visible exactly when its verdict is, so that a verdict with a low id that is committed late waits here like
any other, and nothing is skipped (docs/adr/0034).
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, insert, literal, select, update
from sqlalchemy.orm import Session

from storage.database.tables import OutboxRow, OutputRow, VerdictRow
from storage.database.truncate import truncate


def enqueue(session: Session, frame_ids: Collection[UUID]) -> None:
    """Queue the new verdicts on these frames for every output, in the transaction that writes the verdicts."""
    outputs = session.scalars(select(OutputRow.name)).all() if frame_ids else ()
    for output in outputs:
        verdicts = select(literal(output), VerdictRow.id).where(VerdictRow.frame_id.in_(frame_ids))
        session.execute(insert(OutboxRow).from_select(["output", "verdict_id"], verdicts))


def mark_delivered(session: Session, output: str, verdict_ids: Collection[int]) -> None:
    """Delete the rows of verdicts that the output has delivered."""
    session.execute(delete(OutboxRow).where(OutboxRow.output == output, OutboxRow.verdict_id.in_(verdict_ids)))


def mark_rejected(session: Session, output: str, verdict_id: int, reason: str) -> None:
    """Set a verdict aside that the output can never deliver; `retry` queues it again."""
    row = (OutboxRow.output == output, OutboxRow.verdict_id == verdict_id)
    session.execute(update(OutboxRow).where(*row).values(rejection=truncate(reason, 500)))


def retry(session: Session, output: str) -> int:
    """Queue the output's rejected verdicts again; return their number."""
    rejected = (OutboxRow.output == output, OutboxRow.rejection.is_not(None))
    ids = session.scalars(update(OutboxRow).where(*rejected).values(rejection=None).returning(OutboxRow.verdict_id))
    return len(ids.all())
