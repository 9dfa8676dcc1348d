"""Tables of what stations learn from labelled defects."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, UtcDateTime


class DefectSetRow(Base):
    """One version of a station's defect set; the newest of a (normal set, model) counts, if it is in use."""

    __tablename__ = "defect_sets"
    __table_args__ = (UniqueConstraint("station_id", "version"), Index(None, "normal_set_id", "model_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    version: Mapped[int]
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    model_id: Mapped[str] = mapped_column(String(64))  # of the detector alone
    scoring_model_id: Mapped[str] = mapped_column(String(64))  # of the detector with this head
    defects: Mapped[list[str]] = mapped_column(JSON)  # frame ids
    good_frames: Mapped[int]
    caught: Mapped[int]
    caught_without: Mapped[int]
    in_use: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(500))
    head: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String(120))


class RescoredFrameRow(Base):
    """The score of a frame by another set or model than its verdict's, as if the frame had not been learnt from."""

    __tablename__ = "rescored_frames"
    __table_args__ = (Index(None, "normal_set_id", "model_id"),)

    frame_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    score: Mapped[float]
    mask_version: Mapped[int]  # of the station's mask that it was scored with; 0 for none
