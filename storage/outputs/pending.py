"""Pending verdicts: what an output has to deliver next."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of
from storage.database.tables import OutboxRow, StationRow, VerdictRow
from storage.line.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class PendingVerdict:
    """A verdict with its id in the database and its station's name; ids of a station's verdicts increase."""

    verdict_id: int
    station: str
    verdict: Verdict


def oldest(session: Session, output: str, limit: int) -> list[PendingVerdict]:
    """Return the verdicts that the output has not delivered, in the order of recording, without rejected ones."""
    query = (
        select(VerdictRow.id, StationRow.name, *columns_of(VerdictRow, Verdict))
        .join(OutboxRow, OutboxRow.verdict_id == VerdictRow.id)
        .join(StationRow, StationRow.id == VerdictRow.station_id)
        .where(OutboxRow.output == output, OutboxRow.rejection.is_(None))
        .order_by(OutboxRow.verdict_id)
        .limit(limit)
    )
    return [
        PendingVerdict(verdict_id, station, Verdict(*verdict))
        for verdict_id, station, *verdict in session.execute(query)
    ]
