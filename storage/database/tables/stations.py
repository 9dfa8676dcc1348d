"""Tables of what is configured per station: normal sets, thresholds and golden frames."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, UtcDateTime


class StationRow(Base):
    """One camera position with its settings."""

    __tablename__ = "stations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    object_name: Mapped[str] = mapped_column(String(120))
    without_normals: Mapped[str] = mapped_column(String(16))  # 'wait' or 'no_reference'
    framing: Mapped[str] = mapped_column(String(16))  # 'letterbox', 'stretch' or 'centre_crop'
    false_reject_rate: Mapped[float]
    stale_after_s: Mapped[float]
    sample_one_in: Mapped[int] = mapped_column(server_default=text("200"))  # of the passed frames; 0 draws none
    bit_depth: Mapped[str] = mapped_column(String(4), server_default=text("'auto'"))  # or '8' to '16'
    reviews_per_shift: Mapped[int] = mapped_column(server_default=text("40"))
    autopilot: Mapped[str] = mapped_column(String(8), server_default=text("'propose'"))  # or 'off' or 'act'
    learn_defects: Mapped[bool] = mapped_column(server_default=text("true"))
    mask_version: Mapped[int] = mapped_column(server_default=text("0"))  # of its mask in force; 0 for none
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StationMaskRow(Base):
    """One version of what of a station's picture is not inspected; never changed."""

    __tablename__ = "station_masks"
    __table_args__ = (UniqueConstraint("station_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    version: Mapped[int]
    areas: Mapped[dict[str, Any]] = mapped_column(JSON)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String(120))


class NormalSetRow(Base):
    """One version of a station's normal set; at most one per station is active."""

    __tablename__ = "normal_sets"
    __table_args__ = (
        UniqueConstraint("station_id", "version"),
        Index(
            "uq_normal_sets_active",  # of two concurrent activations one fails
            "station_id",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(8))  # 'draft', 'active' or 'retired'
    note: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    bit_depth: Mapped[int | None]  # that its images use, 8 to 16; null until learnt


class NormalImageRow(Base):
    """One image of a normal set. Triggers of the first migration refuse to change or delete it."""

    __tablename__ = "normal_images"
    __table_args__ = (UniqueConstraint("normal_set_id", "image_reference"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    image_reference: Mapped[str] = mapped_column(String(71))
    name: Mapped[str] = mapped_column(String(255))


class NormalCandidateRow(Base):
    """A frame that somebody proposed for the station's next normal set."""

    __tablename__ = "normal_candidates"

    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"), primary_key=True)
    image_reference: Mapped[str] = mapped_column(String(71), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    proposed_by: Mapped[str] = mapped_column(String(64))
    proposed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ThresholdRow(Base):
    """One threshold; the newest row of a (station, normal set, model) is in force."""

    __tablename__ = "thresholds"
    __table_args__ = (Index(None, "station_id", "normal_set_id", "model_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    model_id: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]
    false_reject_rate: Mapped[float]
    guarantee: Mapped[str] = mapped_column(String(500))  # the rate that this number of normals can guarantee, in words
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(10), server_default="calibrated")  # or 'manual', 'reviewed', 'estimated'
    reason: Mapped[str] = mapped_column(String(500), server_default=text("''"))
    references_digest: Mapped[str | None] = mapped_column(String(64))  # null where it is unknown
    review_limit: Mapped[float | None]  # null before version 0010


class GoldenFrameRow(Base):
    """One frame per station with a known score, which it must get again whenever it is scored."""

    __tablename__ = "golden_frames"

    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"), primary_key=True)
    image_reference: Mapped[str] = mapped_column(String(71))
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    model_id: Mapped[str] = mapped_column(String(64))
    expected_score: Mapped[float]
    chosen_by: Mapped[str] = mapped_column(String(64))
    chosen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    latest_score: Mapped[float | None]
    scored_by: Mapped[str | None] = mapped_column(String(120))
    scored_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
