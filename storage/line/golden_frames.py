"""Golden frames: one frame per station with a known score, which it must get again whenever it is scored.

A ``golden`` job has an empty payload. The scorer scores the frame against the frame's own normal set, which need not be
the active one, calls `record_score`, and stores the score as the job's result.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_into, row_of
from storage.database.tables import GoldenFrameRow
from storage.errors import InvalidChange, NotFound

TOLERANCE = 1e-4  # relative to the score: other batches and machines round differently


@dataclass(frozen=True, slots=True)
class GoldenFrame:
    """A frame and the score of its verdict, by this normal set and model; `latest_score` is None until scored again."""

    station_id: int
    image_reference: str
    normal_set_id: int
    model_id: str
    expected_score: float
    chosen_by: str
    chosen_at: datetime
    latest_score: float | None = None
    scored_by: str | None = None
    scored_at: datetime | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the latest score equals the expected one within `TOLERANCE`; None until scored again."""
        if self.latest_score is None:
            return None
        return math.isclose(self.latest_score, self.expected_score, rel_tol=TOLERANCE, abs_tol=TOLERANCE**2)


def choose(session: Session, frame: GoldenFrame) -> None:
    """Make the frame its station's golden frame, in place of an earlier one; raises `InvalidChange`."""
    if not math.isfinite(frame.expected_score):
        raise InvalidChange("A golden frame's score is a finite number.")
    row = row_of(frame)
    statement = insert_into(session, GoldenFrameRow).values(**row)
    changed = {name: statement.excluded[name] for name in row if name != "station_id"}
    session.execute(statement.on_conflict_do_update(index_elements=["station_id"], set_=changed))


def record_score(session: Session, station_id: int, score: float, by: str, at: datetime) -> GoldenFrame:
    """Record the score that the golden frame gets now; raises `NotFound`."""
    change: dict[str, Any] = {"latest_score": score, "scored_by": by, "scored_at": at}
    session.execute(update(GoldenFrameRow).where(GoldenFrameRow.station_id == station_id).values(**change))
    found = find(session, station_id)
    if found is None:
        raise NotFound("This station has no golden frame: choose one of its frames first.")
    return found


def find(session: Session, station_id: int) -> GoldenFrame | None:
    """Return the station's golden frame; None without one."""
    row = session.execute(select(*_COLUMNS).where(GoldenFrameRow.station_id == station_id)).first()
    return None if row is None else GoldenFrame(*row)


_COLUMNS = columns_of(GoldenFrameRow, GoldenFrame)
