"""Create tables for users, reviews, alerts and jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TIME = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")  # microseconds since 1970 on SQLite
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

APPEND_ONLY = ("audit", "reviews")
POSTGRES_GUARD = """CREATE FUNCTION keep_rows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END $$"""

# Flagged frames, and passed ones within a tenth of their threshold, wait for a person's word from now on.
FILL_THE_QUEUE = """INSERT INTO review_queue (frame_id, station_id, captured_at, decision, margin)
    SELECT frame_id, station_id, captured_at, decision, distance / scale FROM (
        SELECT frame_id, station_id, captured_at, decision, abs(score - threshold) AS distance,
               CASE WHEN threshold = 0 THEN 1 ELSE abs(threshold) END AS scale
        FROM verdicts WHERE decision IN ('flag', 'pass')
    ) AS scored WHERE decision = 'flag' OR distance <= 0.1 * scale"""


def upgrade() -> None:
    """Migrate to this revision."""
    op.create_table(
        "audit",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=9), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("station", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_action_time", "audit", ["action", "at", "id"])
    op.create_index("ix_audit_actor_time", "audit", ["actor", "at", "id"])
    op.create_index("ix_audit_station_time", "audit", ["station", "at", "id"])
    op.create_index("ix_audit_time", "audit", ["at", "id"])
    op.create_table(
        "login_attempts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_login_attempts"),
    )
    op.create_index("ix_login_attempts_first_at", "login_attempts", ["first_at"])
    op.create_table(
        "notification_channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=1000), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("min_severity", sa.String(length=8), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notification_channels"),
        sa.UniqueConstraint("name", name="uq_notification_channels_name"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=9), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("disabled_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "alert_rules",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_alert_rules_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alert_rules"),
    )
    op.create_index(
        "uq_alert_rules_line",
        "alert_rules",
        ["kind"],
        unique=True,
        sqlite_where=sa.text("station_id IS NULL"),
        postgresql_where=sa.text("station_id IS NULL"),
    )
    op.create_index(
        "uq_alert_rules_station",
        "alert_rules",
        ["station_id", "kind"],
        unique=True,
        sqlite_where=sa.text("station_id IS NOT NULL"),
        postgresql_where=sa.text("station_id IS NOT NULL"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=True),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("message", sa.String(length=500), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("held_at", TIME, nullable=False),
        sa.Column("acknowledged_at", TIME, nullable=True),
        sa.Column("acknowledged_by", sa.String(length=64), nullable=True),
        sa.Column("resolved_at", TIME, nullable=True),
        sa.Column("resolved_by", sa.String(length=64), nullable=True),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_alerts_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_station_time", "alerts", ["station_id", "opened_at", "id"])
    op.create_index("ix_alerts_time", "alerts", ["opened_at", "id"])
    op.create_index(
        "uq_alerts_unresolved_line",
        "alerts",
        ["rule"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL AND station_id IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL AND station_id IS NULL"),
    )
    op.create_index(
        "uq_alerts_unresolved_station",
        "alerts",
        ["station_id", "rule"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL AND station_id IS NOT NULL"),
        postgresql_where=sa.text("resolved_at IS NULL AND station_id IS NOT NULL"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.String(length=1000), nullable=True),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("taken_by", sa.String(length=120), nullable=True),
        sa.Column("beat_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_jobs_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "id"])
    op.create_index("ix_jobs_station_id_id", "jobs", ["station_id", "id"])
    op.create_table(
        "logins",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_logins_user_id"),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_logins"),
    )
    op.create_index("ix_logins_user_id", "logins", ["user_id"])
    op.create_table(
        "mutes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("until_at", TIME, nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("muted_by", sa.String(length=64), nullable=False),
        sa.Column("muted_at", TIME, nullable=False),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_mutes_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mutes"),
    )
    op.create_index("ix_mutes_station_id_until_at", "mutes", ["station_id", "until_at"])
    op.create_table(
        "picked_frames",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("image_reference", sa.String(length=71), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("picked_by", sa.String(length=64), nullable=False),
        sa.Column("picked_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_picked_frames_station_id"),
        sa.PrimaryKeyConstraint("station_id", "image_reference", name="pk_picked_frames"),
    )
    op.create_table(
        "review_queue",
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("captured_at", TIME, nullable=False),
        sa.Column("decision", sa.String(length=12), nullable=False),
        sa.Column("margin", sa.Double(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", TIME, nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_review_queue_station_id"),
        sa.PrimaryKeyConstraint("frame_id", name="pk_review_queue"),
    )
    op.create_index("ix_review_queue_claim", "review_queue", ["claimed_by"])
    op.create_index("ix_review_queue_margin", "review_queue", ["margin", "frame_id"])
    op.create_index("ix_review_queue_station_margin", "review_queue", ["station_id", "margin", "frame_id"])
    op.create_index("ix_review_queue_station_time", "review_queue", ["station_id", "captured_at", "frame_id"])
    op.create_index("ix_review_queue_time", "review_queue", ["captured_at", "frame_id"])
    op.create_table(
        "reviews",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("said_id", sa.Uuid(), nullable=False),
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("captured_at", TIME, nullable=False),
        sa.Column("decision", sa.String(length=12), nullable=False),
        sa.Column("word", sa.String(length=12), nullable=False),
        sa.Column("takes_back", BIG_ID, nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_reviews_station_id"),
        sa.ForeignKeyConstraint(["takes_back"], ["reviews.id"], name="fk_reviews_takes_back"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint("said_id", name="uq_reviews_said_id"),
        sa.UniqueConstraint("takes_back", name="uq_reviews_takes_back"),
    )
    op.create_index("ix_reviews_by_id", "reviews", ["by", "id"])
    op.create_index("ix_reviews_frame_id_id", "reviews", ["frame_id", "id"])
    op.create_index("ix_reviews_station_id_id", "reviews", ["station_id", "id"])
    op.create_table(
        "golden_frames",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("image_reference", sa.String(length=71), nullable=False),
        sa.Column("normal_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("expected_score", sa.Double(), nullable=False),
        sa.Column("chosen_by", sa.String(length=64), nullable=False),
        sa.Column("chosen_at", TIME, nullable=False),
        sa.Column("latest_score", sa.Double(), nullable=True),
        sa.Column("scored_by", sa.String(length=120), nullable=True),
        sa.Column("scored_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["normal_set_id"], ["normal_sets.id"], name="fk_golden_frames_normal_set_id"),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_golden_frames_station_id"),
        sa.PrimaryKeyConstraint("station_id", name="pk_golden_frames"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME, nullable=True),
        sa.Column("done_at", TIME, nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="fk_notifications_alert_id"),
        sa.ForeignKeyConstraint(["channel_id"], ["notification_channels.id"], name="fk_notifications_channel_id"),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.UniqueConstraint("alert_id", "channel_id", "event", name="uq_notifications_alert_id_channel_id_event"),
    )
    op.create_index("ix_notifications_channel", "notifications", ["channel_id", "id"])
    op.create_index(
        "ix_notifications_due",
        "notifications",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("done_at IS NULL AND next_at IS NOT NULL"),
        postgresql_where=sa.text("done_at IS NULL AND next_at IS NOT NULL"),
    )
    op.create_table(
        "reviewed_frames",
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("review_id", BIG_ID, nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("captured_at", TIME, nullable=False),
        sa.Column("decision", sa.String(length=12), nullable=False),
        sa.Column("word", sa.String(length=12), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_reviewed_frames_review_id"),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_reviewed_frames_station_id"),
        sa.PrimaryKeyConstraint("frame_id", name="pk_reviewed_frames"),
    )
    op.create_index(
        "ix_reviewed_frames_station_time", "reviewed_frames", ["station_id", "captured_at", "decision", "word"]
    )
    op.create_index("ix_reviewed_frames_time", "reviewed_frames", ["captured_at", "station_id", "decision", "word"])

    kind = sa.Column("kind", sa.String(length=10), server_default="calibrated", nullable=False)
    op.add_column("thresholds", kind)
    op.add_column(
        "thresholds", sa.Column("reason", sa.String(length=500), server_default=sa.text("''"), nullable=False)
    )
    op.execute(FILL_THE_QUEUE)
    keep_rows(op.get_context().dialect.name)


def keep_rows(dialect: str) -> None:
    """Triggers that refuse to change or delete what was written once."""
    if dialect == "sqlite":
        for table in APPEND_ONLY:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_keeps_rows_from_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        return
    op.execute(POSTGRES_GUARD)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_keeps_rows BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION keep_rows()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_keeps_all_rows BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION keep_rows()"
        )
