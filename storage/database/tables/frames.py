"""Tables of what became of frames: verdicts, parked frames, dead letters and drops."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, UniqueConstraint, Uuid, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from storage.areas import regions
from storage.areas.regions import Region
from storage.database.tables.base import Base, BigId, UtcDateTime


class RegionsJson(TypeDecorator[tuple[Region, ...]]):
    """Regions as JSON, NULL for None."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: tuple[Region, ...] | None, dialect: Dialect) -> Any:
        """Return the JSON values to store."""
        return None if value is None else regions.to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[Region, ...] | None:
        """Return the stored regions."""
        return None if value is None else regions.from_json(value)


class VerdictRow(Base):
    """One verdict, never changed. The indices are chosen from measured query plans (docs/adr/0005)."""

    __tablename__ = "verdicts"
    __table_args__ = (
        Index("ix_verdicts_station_time", "station_id", "captured_at", "decision", "score", "threshold"),
        Index("ix_verdicts_station", "station_id", "id"),
        Index("ix_verdicts_station_decision_time", "station_id", "decision", "captured_at"),
        Index("ix_verdicts_time", "captured_at", "station_id", "decision"),
        Index("ix_verdicts_decision_time", "decision", "captured_at"),
        Index(
            "ix_verdicts_station_part",
            "station_id",
            "part_id",
            "captured_at",
            sqlite_where=text("part_id IS NOT NULL"),
            postgresql_where=text("part_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    frame_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(12))  # 'pass', 'flag', 'no_reference' or 'bad_picture'
    score: Mapped[float | None]
    threshold: Mapped[float | None]
    components: Mapped[dict[str, float]] = mapped_column(JSON)
    normal_set_id: Mapped[int | None] = mapped_column(ForeignKey("normal_sets.id"))
    detector: Mapped[str | None] = mapped_column(String(64))
    model_id: Mapped[str | None] = mapped_column(String(64))
    weights_sha256: Mapped[str | None] = mapped_column(String(64))
    image_reference: Mapped[str] = mapped_column(String(71))
    content_type: Mapped[str] = mapped_column(String(40))
    map_reference: Mapped[str | None] = mapped_column(String(71))
    part_id: Mapped[str | None] = mapped_column(String(255))
    truth: Mapped[str | None] = mapped_column(String(120))
    worker: Mapped[str] = mapped_column(String(120))
    topic: Mapped[str] = mapped_column(String(249))
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    sampled: Mapped[bool] = mapped_column(server_default=text("false"))  # drawn at random for review
    stamped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the camera's time where it can't be true
    picture_problem: Mapped[str | None] = mapped_column(String(40))  # why the frame is a bad picture
    review_limit: Mapped[float | None]  # null before version 0010, and without a score
    regions: Mapped[tuple[Region, ...] | None] = mapped_column(RegionsJson)  # null before version 0012
    mask_version: Mapped[int] = mapped_column(server_default=text("0"))  # of the station's mask; 0 for none


class ParkedFrameRow(Base):
    """A frame that waits for its station's first active normal set; the image is in the image store."""

    __tablename__ = "parked_frames"
    __table_args__ = (Index(None, "station_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    frame_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    parked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    image_reference: Mapped[str] = mapped_column(String(71))
    content_type: Mapped[str] = mapped_column(String(40))
    part_id: Mapped[str | None] = mapped_column(String(255))
    truth: Mapped[str | None] = mapped_column(String(120))
    topic: Mapped[str] = mapped_column(String(249))
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    stamped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DeadLetterRow(Base):
    """A message that could not become a verdict.

    The payload's hash is part of the key, because a topic that is created again counts its offsets from 0 again.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (UniqueConstraint("topic", "partition", "offset", "payload_reference"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    topic: Mapped[str] = mapped_column(String(249))
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(64))
    error: Mapped[str] = mapped_column(String(1000))
    station: Mapped[str | None] = mapped_column(String(255))  # as the message claims; may be unknown
    key: Mapped[str | None] = mapped_column(String(255))
    headers: Mapped[list[Any]] = mapped_column(JSON)  # [[name, base64 value], …]
    payload_reference: Mapped[str] = mapped_column(String(71))
    payload_bytes: Mapped[int] = mapped_column(BigInteger)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    replayed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DropRow(Base):
    """Frames lost before the bus: one row per hour, station, reason and producer."""

    __tablename__ = "drops"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    station: Mapped[str] = mapped_column(String(64))  # as the producer names it; may be unknown
    reason: Mapped[str] = mapped_column(String(64))
    frames: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
