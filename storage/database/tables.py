"""The tables, the same on SQLite and PostgreSQL. Every time is UTC and ends in `_at`."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from foundation.clock import from_epoch_us, to_epoch_us


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, exact to the microsecond.

    PostgreSQL keeps it as ``timestamptz``; SQLite, which has no type for it, as whole microseconds since 1970,
    so that trends are cut into buckets by integer arithmetic (docs/adr/0005).
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value.isoformat()}: times are kept in UTC and must say so")
        return to_epoch_us(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        kept: datetime = from_epoch_us(value) if dialect.name == "sqlite" else value
        return kept.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only for INTEGER


class Base(DeclarativeBase):
    """Root of the tables; the names of constraints are fixed so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class StationRow(Base):
    __tablename__ = "stations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    object_name: Mapped[str] = mapped_column(String(120))
    without_normals: Mapped[str] = mapped_column(String(16))  # 'wait' or 'no_reference'
    framing: Mapped[str] = mapped_column(String(16))  # 'letterbox', 'stretch' or 'centre_crop'
    false_reject_rate: Mapped[float]
    stale_after_s: Mapped[float]
    sample_one_in: Mapped[int] = mapped_column(server_default=text("200"))  # of the passed frames; 0 draws none
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NormalSetRow(Base):
    __tablename__ = "normal_sets"
    __table_args__ = (
        UniqueConstraint("station_id", "version"),
        Index(
            "uq_normal_sets_active",  # two activations at once can't both win
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


class NormalImageRow(Base):
    """Never changed or deleted; triggers that the first migration makes see to it on both databases."""

    __tablename__ = "normal_images"
    __table_args__ = (UniqueConstraint("normal_set_id", "image_reference"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    image_reference: Mapped[str] = mapped_column(String(71))
    name: Mapped[str] = mapped_column(String(255))


class ThresholdRow(Base):
    """History is kept: the newest row of a (station, normal set, model) is in force."""

    __tablename__ = "thresholds"
    __table_args__ = (Index(None, "station_id", "normal_set_id", "model_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    normal_set_id: Mapped[int] = mapped_column(ForeignKey("normal_sets.id"))
    model_id: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]
    false_reject_rate: Mapped[float]
    guarantee: Mapped[str] = mapped_column(String(500))  # what can be promised at this number of normals, in words
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(10), server_default="calibrated")  # or 'manual' or 'reviewed'
    reason: Mapped[str] = mapped_column(String(500), server_default=text("''"))


class VerdictRow(Base):
    """Never changed. The indices are chosen from measured query plans: docs/adr/0005."""

    __tablename__ = "verdicts"
    __table_args__ = (
        Index("ix_verdicts_station_time", "station_id", "captured_at", "decision", "score", "threshold"),
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
    sampled: Mapped[bool] = mapped_column(server_default=text("false"))  # drawn at random for review


class VerdictRollupRow(Base):
    """What one station's verdicts of one minute, hour or day add up to; kept right by whatever records verdicts."""

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


class ScoreRollupRow(Base):
    """How often a score, cut to three digits, came at one station in one hour or day; kept right like
    `VerdictRollupRow`."""

    __tablename__ = "score_rollups"
    __table_args__ = ({"sqlite_with_rowid": False},)

    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"), primary_key=True)
    width_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 3600 or 86400
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    score: Mapped[float] = mapped_column(primary_key=True)
    frames: Mapped[int] = mapped_column(BigInteger)


class ParkedFrameRow(Base):
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


class DeadLetterRow(Base):
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


class DropRow(Base):
    """Frames lost before the bus: a row an hour, station, reason and producer, by the name the producer has for it."""

    __tablename__ = "drops"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    station: Mapped[str] = mapped_column(String(64))  # as the producer says; it may be unknown here
    reason: Mapped[str] = mapped_column(String(64))
    frames: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class WorkerRow(Base):
    """What each process last said of itself, so that the wall can tell a quiet line from a dead scorer."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))  # 'starting', 'running', 'waiting' or 'stopped'
    message: Mapped[str] = mapped_column(String(500))
    detector: Mapped[str] = mapped_column(String(64))
    lag: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UserRow(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(9))  # 'viewer', 'inspector', 'engineer' or 'admin'
    password_hash: Mapped[str | None] = mapped_column(String(200))  # argon2id; None for who logs in elsewhere (OIDC)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LoginRow(Base):
    """One browser that is logged in; the token itself is kept nowhere."""

    __tablename__ = "logins"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LoginAttemptRow(Base):
    """How often a name was tried since `first_at`, whether there is such a user or not."""

    __tablename__ = "login_attempts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class AuditRow(Base):
    """Never changed or deleted; triggers that the second migration makes see to it on both databases."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_time", "at", "id"),
        Index("ix_audit_actor_time", "actor", "at", "id"),
        Index("ix_audit_action_time", "action", "at", "id"),
        Index("ix_audit_station_time", "station", "at", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(9))
    action: Mapped[str] = mapped_column(String(40))
    station: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    before: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str] = mapped_column(String(500))


class ReviewRow(Base):
    """Every word that was said, never changed or deleted (triggers, as for `AuditRow`).

    What the verdict was is copied, so that figures made from reviews outlive the verdicts.
    """

    __tablename__ = "reviews"
    __table_args__ = (Index(None, "frame_id", "id"), Index(None, "station_id", "id"), Index(None, "by", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    idempotency_key: Mapped[UUID] = mapped_column(
        Uuid, unique=True
    )  # made by who says it, so that saying twice counts once
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
    """The word that counts of each reviewed frame; kept right by `reviews`."""

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
    """A flagged, borderline or sampled frame that nobody has spoken of yet, and who looks at it now."""

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
    )

    frame_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    captured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(12))
    margin: Mapped[float]  # how far the score lies from the threshold, as a share of the threshold
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sampled: Mapped[bool] = mapped_column(server_default=text("false"))  # as the verdict's


class NormalCandidateRow(Base):
    """A frame that somebody wants in the station's next normal set."""

    __tablename__ = "normal_candidates"

    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"), primary_key=True)
    image_reference: Mapped[str] = mapped_column(String(71), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    proposed_by: Mapped[str] = mapped_column(String(64))
    proposed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class GoldenFrameRow(Base):
    """One frame a station whose score is known: scored again, it must come out the same."""

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


class JobRow(Base):
    """Work that needs a model, asked for by a person and done by a scorer."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state", "id"), Index(None, "station_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # 'what_if' or 'golden'
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


class AlertRuleRow(Base):
    """How a rule is set at one station, or for the whole line where the station is None."""

    __tablename__ = "alert_rules"
    __table_args__ = (
        Index(
            "uq_alert_rules_station",
            "station_id",
            "kind",
            unique=True,
            sqlite_where=text("station_id IS NOT NULL"),
            postgresql_where=text("station_id IS NOT NULL"),
        ),
        Index(
            "uq_alert_rules_line",
            "kind",
            unique=True,
            sqlite_where=text("station_id IS NULL"),
            postgresql_where=text("station_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    kind: Mapped[str] = mapped_column(String(40))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    enabled: Mapped[bool]


class AlertRow(Base):
    """One episode of a condition that wants a person; at most one that is not resolved a station and rule."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_unresolved_station",
            "station_id",
            "rule",
            unique=True,
            sqlite_where=text("resolved_at IS NULL AND station_id IS NOT NULL"),
            postgresql_where=text("resolved_at IS NULL AND station_id IS NOT NULL"),
        ),
        Index(
            "uq_alerts_unresolved_line",
            "rule",
            unique=True,
            sqlite_where=text("resolved_at IS NULL AND station_id IS NULL"),
            postgresql_where=text("resolved_at IS NULL AND station_id IS NULL"),
        ),
        Index("ix_alerts_time", "opened_at", "id"),
        Index("ix_alerts_station_time", "station_id", "opened_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    rule: Mapped[str] = mapped_column(String(40))
    severity: Mapped[str] = mapped_column(String(8))  # 'info', 'warning' or 'critical'
    state: Mapped[str] = mapped_column(String(12))  # 'opened', 'acknowledged' or 'resolved'
    message: Mapped[str] = mapped_column(String(500))
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    condition_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the condition was last seen to hold
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_by: Mapped[str | None] = mapped_column(String(64))
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resolved_by: Mapped[str | None] = mapped_column(String(64))  # None when the condition went by itself
    note: Mapped[str] = mapped_column(String(500))  # what was said on acknowledging or resolving


class MuteRow(Base):
    """A station under maintenance notifies nobody until then, or until the mute is ended."""

    __tablename__ = "mutes"
    __table_args__ = (Index(None, "station_id", "until_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    until_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(String(500))
    muted_by: Mapped[str] = mapped_column(String(64))
    muted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_by: Mapped[str | None] = mapped_column(String(64))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ChannelRow(Base):
    """Where notifications go; the address holds secrets and is shown to nobody."""

    __tablename__ = "notification_channels"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    url: Mapped[str] = mapped_column(String(1000))
    enabled: Mapped[bool]
    min_severity: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NotificationRow(Base):
    """What is to be told of an alert on one channel, until it is told or given up."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("alert_id", "channel_id", "event"),
        Index(
            "ix_notifications_due",
            "next_at",
            sqlite_where=text("done_at IS NULL AND next_at IS NOT NULL"),
            postgresql_where=text("done_at IS NULL AND next_at IS NOT NULL"),
        ),
        Index("ix_notifications_channel", "channel_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    channel_id: Mapped[int] = mapped_column(ForeignKey("notification_channels.id"))
    event: Mapped[str] = mapped_column(String(12))  # 'opened', 'acknowledged' or 'resolved'
    tries: Mapped[int]
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None once it is given up
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
