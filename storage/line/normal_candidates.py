"""Normal candidates: frames proposed for a station's next normal set, collected until a draft is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_into
from storage.database.tables import NormalCandidateRow
from storage.database.truncate import truncate


@dataclass(frozen=True, slots=True)
class NormalCandidate:
    """A proposed image; `name` describes its origin to people."""

    station_id: int
    image_reference: str
    name: str
    proposed_by: str
    proposed_at: datetime


def add(session: Session, candidate: NormalCandidate) -> bool:
    """Add a candidate; return False where the image is one already."""
    row = {
        "station_id": candidate.station_id,
        "image_reference": candidate.image_reference,
        "name": truncate(candidate.name, 255),
        "proposed_by": truncate(candidate.proposed_by, 64),
        "proposed_at": candidate.proposed_at,
    }
    statement = insert_into(session, NormalCandidateRow).values(**row).on_conflict_do_nothing()
    return session.scalar(statement.returning(NormalCandidateRow.station_id)) is not None


def remove(session: Session, station_id: int, image_references: Sequence[str]) -> int:
    """Remove candidates; return how many of the images were candidates."""
    statement = delete(NormalCandidateRow).where(
        NormalCandidateRow.station_id == station_id, NormalCandidateRow.image_reference.in_(list(image_references))
    )
    return len(session.scalars(statement.returning(NormalCandidateRow.image_reference)).all())


def list_all(session: Session, station_id: int) -> list[NormalCandidate]:
    """Return the station's candidates in the order in which they were proposed."""
    query = select(*columns_of(NormalCandidateRow, NormalCandidate)).where(NormalCandidateRow.station_id == station_id)
    rows = session.execute(query.order_by(NormalCandidateRow.proposed_at, NormalCandidateRow.image_reference))
    return [NormalCandidate(*row) for row in rows]
