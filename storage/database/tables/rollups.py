"""Tables of sums and counts over verdicts, written in the transaction that writes the verdicts."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, UtcDateTime


class VerdictRollupRow(Base):
    """Sums over the verdicts of one station in one minute, hour or day."""

    __tablename__ = "verdict_rollups"
    __table_args__ = ({"sqlite_with_rowid": False},)

    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"), primary_key=True)
    width_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 60, 3600 or 86400
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    frames: Mapped[int] = mapped_column(BigInteger)
    flagged: Mapped[int] = mapped_column(BigInteger)
    no_reference: Mapped[int] = mapped_column(BigInteger)
    score_sum: Mapped[float]
    score_min: Mapped[float | None]
    score_max: Mapped[float | None]
    threshold_max: Mapped[float | None]
    bad_pictures: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    borderline: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class ScoreRollupRow(Base):
    """The number of verdicts with one score, rounded down to three digits, at one station in one hour or day."""

    __tablename__ = "score_rollups"
    __table_args__ = ({"sqlite_with_rowid": False},)

    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"), primary_key=True)
    width_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 3600 or 86400
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    score: Mapped[float] = mapped_column(primary_key=True)
    frames: Mapped[int] = mapped_column(BigInteger)
