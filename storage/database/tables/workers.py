"""Tables of scoring processes and of the jobs that they execute."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, UtcDateTime


class WorkerRow(Base):
    """The last heartbeat of one scoring process, which distinguishes an idle line from a dead scorer."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))  # 'starting', 'running', 'waiting' or 'stopped'
    message: Mapped[str] = mapped_column(String(500))
    detector: Mapped[str] = mapped_column(String(64))
    lag: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobRow(Base):
    """Work that needs a model, requested by a person and executed by a scorer."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state", "id"), Index(None, "station_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # 'what_if', 'golden' or 'propose_normals'
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(9))  # 'queued', 'running', 'done', 'failed' or 'cancelled'
    progress: Mapped[int]
    total: Mapped[int | None]
    result: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(String(1000))
    requested_by: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    tries: Mapped[int]
    claimed_by: Mapped[str | None] = mapped_column(String(120))
    heartbeat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
