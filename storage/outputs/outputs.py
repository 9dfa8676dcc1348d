"""Outputs that have been started once: from then on every verdict is queued for them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from storage.database.rows import insert_into
from storage.database.tables import OutboxRow, OutputRow, VerdictRow
from storage.database.truncate import truncate_or_none
from storage.errors import NotFound


@dataclass(frozen=True, slots=True)
class OutputState:
    """An output's queue; `error` is None while it can deliver, `oldest_decided_at` while nothing is pending."""

    name: str
    registered_at: datetime
    error: str | None
    pending: int
    rejected: int
    oldest_decided_at: datetime | None


def register(session: Session, name: str, at: datetime) -> None:
    """Queue verdicts for an output from now on; one that is registered already stays as it is."""
    statement = insert_into(session, OutputRow).values(name=name, registered_at=at).on_conflict_do_nothing()
    if session.scalar(statement.returning(OutputRow.name)) is not None:
        _delete_queue(session, name)  # a scorer may have added a row while an output of that name was removed


def require_registered(session: Session, name: str) -> None:
    """Raise `NotFound` if the output has been removed, so that no verdict is queued for it any more."""
    if session.scalar(select(OutputRow.name).where(OutputRow.name == name)) is None:
        raise NotFound(f"The output {name} was removed: start `andon outputs run` again to register it.")


def set_error(session: Session, name: str, error: str | None) -> None:
    """Record why the output can't deliver now, or that it can."""
    session.execute(update(OutputRow).where(OutputRow.name == name).values(error=truncate_or_none(error, 500)))


def remove(session: Session, name: str) -> OutputState:
    """Delete an output with its queue and return it as it was; raises `NotFound`."""
    state = get(session, name)
    session.execute(delete(OutputRow).where(OutputRow.name == name))
    _delete_queue(session, name)
    return state


def get(session: Session, name: str) -> OutputState:
    """Return the output's state; raises `NotFound`, naming the outputs that exist."""
    states = {state.name: state for state in list_all(session)}
    if name not in states:
        existing = f"use one of {', '.join(states)}" if states else "`andon outputs run` starts those of the settings"
        raise NotFound(f"No output {name[:80]!r} has been started: {existing}.")
    return states[name]


def list_all(session: Session) -> list[OutputState]:
    """Return the states of all outputs by name."""
    is_rejected = OutboxRow.rejection.is_not(None)
    query = (
        select(
            OutputRow.name,
            OutputRow.registered_at,
            OutputRow.error,
            func.count(OutboxRow.verdict_id).filter(~is_rejected),
            func.count(OutboxRow.verdict_id).filter(is_rejected),
            func.min(OutboxRow.verdict_id).filter(~is_rejected),
        )
        .outerjoin(OutboxRow, OutboxRow.output == OutputRow.name)
        .group_by(OutputRow.name, OutputRow.registered_at, OutputRow.error)
        .order_by(OutputRow.name)
    )
    return [
        OutputState(name, registered_at, error, pending, rejected, _decided_at(session, oldest_id))
        for name, registered_at, error, pending, rejected, oldest_id in session.execute(query).all()
    ]


def _delete_queue(session: Session, name: str) -> None:
    session.execute(delete(OutboxRow).where(OutboxRow.output == name))


def _decided_at(session: Session, verdict_id: int | None) -> datetime | None:
    if verdict_id is None:
        return None
    return session.scalar(select(VerdictRow.decided_at).where(VerdictRow.id == verdict_id))
