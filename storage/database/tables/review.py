"""Tables of reviews, of the label in force of each frame, and of the review queue."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, BigId, UtcDateTime


class ReviewRow(Base):
    """One label or retraction; triggers of the second migration refuse to change or delete it.

    The verdict's fields are copied, so that figures made from reviews outlive the verdicts.
    """

    __tablename__ = "reviews"
    __table_args__ = (Index(None, "frame_id", "id"), Index(None, "station_id", "id"), Index(None, "by", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    idempotency_key: Mapped[UUID] = mapped_column(Uuid, unique=True)  # generated where the label is given
    frame_id: Mapped[UUID] = mapped_column(Uuid)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(12))
    label: Mapped[str] = mapped_column(String(12))  # 'defect', 'false_alarm', 'unsure' or 'retracted'
    retracts_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"), unique=True)
    tags: Mapped[list[str]] = mapped_column(JSON)
    note: Mapped[str] = mapped_column(String(1000))
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReviewedFrameRow(Base):
    """The label in force of one frame; `storage.review.reviews` keeps it up to date."""

    __tablename__ = "reviewed_frames"
    __table_args__ = (
        Index("ix_reviewed_frames_station_time", "station_id", "captured_at", "decision", "label", "sampled"),
        Index("ix_reviewed_frames_time", "captured_at", "station_id", "decision", "label", "sampled"),
    )

    frame_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id"))
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(12))
    label: Mapped[str] = mapped_column(String(12))
    tags: Mapped[list[str]] = mapped_column(JSON)
    sampled: Mapped[bool] = mapped_column(server_default=text("false"))  # as the verdict's


class ReviewQueueRow(Base):
    """A flagged, borderline, sampled or asked frame without a label, and who has claimed it."""

    __tablename__ = "review_queue"
    __table_args__ = (
        Index("ix_review_queue_station_time", "station_id", "captured_at", "frame_id"),
        Index("ix_review_queue_time", "captured_at", "frame_id"),
        Index("ix_review_queue_station_margin", "station_id", "margin", "frame_id"),
        Index("ix_review_queue_margin", "margin", "frame_id"),
        Index("ix_review_queue_claim", "claimed_by"),
        Index(
            "ix_review_queue_sampled",
            "captured_at",
            "frame_id",
            sqlite_where=text("sampled = 1"),
            postgresql_where=text("sampled"),
        ),
        Index(
            "ix_review_queue_question",
            "station_id",
            "question",
            sqlite_where=text("question IS NOT NULL"),
            postgresql_where=text("question IS NOT NULL"),
        ),
    )

    frame_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(12))
    margin: Mapped[float]  # distance of the score from the threshold, as a share of the threshold
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sampled: Mapped[bool] = mapped_column(server_default=text("false"))  # as the verdict's
    question: Mapped[int | None]  # the rank, from 1, of a frame that the station asks about
