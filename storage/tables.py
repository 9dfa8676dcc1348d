"""The tables, the same on SQLite and PostgreSQL. Every time is UTC and ends in `_at`."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, Integer, MetaData, String, UniqueConstraint, Uuid
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value.isoformat()}: times are kept in UTC and must say so")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only for INTEGER


class Table(DeclarativeBase):
    """Root of the tables; the names of constraints are fixed so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class StationRow(Table):
    __tablename__ = "stations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    object_name: Mapped[str] = mapped_column(String(120))
    without_normals: Mapped[str] = mapped_column(String(16))  # 'wait' or 'no_reference'
    framing: Mapped[str] = mapped_column(String(16))  # 'letterbox', 'stretch' or 'centre_crop'
    false_reject_rate: Mapped[float]
    stale_after_s: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NormalSetRow(Table):
    __tablename__ = "normal_sets"
    __table_args__ = (UniqueConstraint("station_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(8))  # 'draft', 'active' or 'retired'
    note: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class NormalImageRow(Table):
    __tablename__ = "normal_images"
    __table_args__ = (UniqueConstraint("normal_set_id", "image_reference"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    image_reference: Mapped[str] = mapped_column(String(71))
    name: Mapped[str] = mapped_column(String(255))


class ThresholdRow(Table):
    """History is kept: the newest row of a (station, normal set, model) is in force."""

    __tablename__ = "thresholds"
    __table_args__ = (Index(None, "station_id", "normal_set_id", "model_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    model_id: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]
    false_reject_rate: Mapped[float]
    promise: Mapped[str] = mapped_column(String(500))  # what can be promised at this number of normals, in words
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String(120))


class VerdictRow(Table):
    __tablename__ = "verdicts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    frame_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(12))  # 'pass', 'flag' or 'no_reference'
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


class ParkedFrameRow(Table):
    """A frame that waits for its station's first active normal set; the image lies in the image store."""

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


class DeadLetterRow(Table):
    """The payload's hash is part of the key: a topic made anew counts its offsets from 0 again."""

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


class WorkerRow(Table):
    """What each process last said of itself, so that the wall can tell a quiet line from a dead scorer."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))  # 'starting', 'running', 'waiting' or 'stopped'
    message: Mapped[str] = mapped_column(String(500))
    detector: Mapped[str] = mapped_column(String(64))
    lag: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
