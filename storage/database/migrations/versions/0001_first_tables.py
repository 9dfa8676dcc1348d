"""Create the first tables, and triggers that refuse changes of normal images."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")  # microseconds since 1970 on SQLite
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SQLITE_TRIGGERS = (
    """CREATE TRIGGER normal_images_stay_as_they_are BEFORE UPDATE ON normal_images
    BEGIN SELECT RAISE(ABORT, 'a normal set is immutable'); END""",
    """CREATE TRIGGER normal_images_stay BEFORE DELETE ON normal_images
    BEGIN SELECT RAISE(ABORT, 'a normal set is immutable'); END""",
    """CREATE TRIGGER normal_images_join_drafts_only BEFORE INSERT ON normal_images
    WHEN (SELECT state FROM normal_sets WHERE id = NEW.normal_set_id) <> 'draft'
    BEGIN SELECT RAISE(ABORT, 'a normal set is immutable'); END""",
)
POSTGRES_TRIGGERS = (
    """CREATE FUNCTION keep_normal_images() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' AND (SELECT state FROM normal_sets WHERE id = NEW.normal_set_id) = 'draft' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a normal set is immutable' USING ERRCODE = 'integrity_constraint_violation';
    END $$""",
    """CREATE TRIGGER normal_images_stay_as_they_are BEFORE INSERT OR UPDATE OR DELETE ON normal_images
    FOR EACH ROW EXECUTE FUNCTION keep_normal_images()""",
)


def upgrade() -> None:
    """Migrate to this revision."""
    op.create_table(
        "dead_letters",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("error", sa.String(length=1000), nullable=False),
        sa.Column("station", sa.String(length=255), nullable=True),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("payload_reference", sa.String(length=71), nullable=False),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("replayed_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint(
            "topic",
            "partition",
            "offset",
            "payload_reference",
            name="uq_dead_letters_topic_partition_offset_payload_reference",
        ),
    )
    op.create_index("ix_dead_letters_occurred_at", "dead_letters", ["occurred_at"])

    op.create_table(
        "stations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("object_name", sa.String(length=120), nullable=False),
        sa.Column("without_normals", sa.String(length=16), nullable=False),
        sa.Column("framing", sa.String(length=16), nullable=False),
        sa.Column("false_reject_rate", sa.Double(), nullable=False),
        sa.Column("stale_after_s", sa.Double(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stations"),
        sa.UniqueConstraint("name", name="uq_stations_name"),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("message", sa.String(length=500), nullable=False),
        sa.Column("detector", sa.String(length=64), nullable=False),
        sa.Column("lag", sa.BigInteger(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    op.create_table(
        "normal_sets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("activated_at", TIME, nullable=True),
        sa.Column("retired_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_normal_sets_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_normal_sets"),
        sa.UniqueConstraint("station_id", "version", name="uq_normal_sets_station_id_version"),
    )
    op.create_index(
        "uq_normal_sets_active",
        "normal_sets",
        ["station_id"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )

    op.create_table(
        "parked_frames",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("captured_at", TIME, nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("parked_at", TIME, nullable=False),
        sa.Column("image_reference", sa.String(length=71), nullable=False),
        sa.Column("content_type", sa.String(length=40), nullable=False),
        sa.Column("part_id", sa.String(length=255), nullable=True),
        sa.Column("truth", sa.String(length=120), nullable=True),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_parked_frames_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_parked_frames"),
        sa.UniqueConstraint("frame_id", name="uq_parked_frames_frame_id"),
    )
    op.create_index("ix_parked_frames_station_id_id", "parked_frames", ["station_id", "id"])

    op.create_table(
        "tallies",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("width_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("flagged", sa.BigInteger(), nullable=False),
        sa.Column("no_reference", sa.BigInteger(), nullable=False),
        sa.Column("score_sum", sa.Double(), nullable=False),
        sa.Column("score_min", sa.Double(), nullable=True),
        sa.Column("score_max", sa.Double(), nullable=True),
        sa.Column("threshold_max", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_tallies_station_id"),
        sa.PrimaryKeyConstraint("station_id", "width_s", "started_at", name="pk_tallies"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "score_tallies",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("width_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_score_tallies_station_id"),
        sa.PrimaryKeyConstraint("station_id", "width_s", "started_at", "score", name="pk_score_tallies"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "normal_images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("normal_set_id", sa.Integer(), nullable=False),
        sa.Column("image_reference", sa.String(length=71), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["normal_set_id"], ["normal_sets.id"], name="fk_normal_images_normal_set_id"),
        sa.PrimaryKeyConstraint("id", name="pk_normal_images"),
        sa.UniqueConstraint("normal_set_id", "image_reference", name="uq_normal_images_normal_set_id_image_reference"),
    )
    op.create_table(
        "thresholds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("normal_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("false_reject_rate", sa.Double(), nullable=False),
        sa.Column("promise", sa.String(length=500), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["normal_set_id"], ["normal_sets.id"], name="fk_thresholds_normal_set_id"),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_thresholds_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_thresholds"),
    )
    op.create_index(
        "ix_thresholds_station_id_normal_set_id_model_id_id",
        "thresholds",
        ["station_id", "normal_set_id", "model_id", "id"],
    )

    op.create_table(
        "verdicts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("captured_at", TIME, nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.Column("decision", sa.String(length=12), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("components", sa.JSON(), nullable=False),
        sa.Column("normal_set_id", sa.Integer(), nullable=True),
        sa.Column("detector", sa.String(length=64), nullable=True),
        sa.Column("model_id", sa.String(length=64), nullable=True),
        sa.Column("weights_sha256", sa.String(length=64), nullable=True),
        sa.Column("image_reference", sa.String(length=71), nullable=False),
        sa.Column("content_type", sa.String(length=40), nullable=False),
        sa.Column("map_reference", sa.String(length=71), nullable=True),
        sa.Column("part_id", sa.String(length=255), nullable=True),
        sa.Column("truth", sa.String(length=120), nullable=True),
        sa.Column("worker", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["normal_set_id"], ["normal_sets.id"], name="fk_verdicts_normal_set_id"),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_verdicts_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
        sa.UniqueConstraint("frame_id", name="uq_verdicts_frame_id"),
    )
    op.create_index("ix_verdicts_decision_time", "verdicts", ["decision", "captured_at"])
    op.create_index("ix_verdicts_station_decision_time", "verdicts", ["station_id", "decision", "captured_at"])
    op.create_index(
        "ix_verdicts_station_time", "verdicts", ["station_id", "captured_at", "decision", "score", "threshold"]
    )
    op.create_index("ix_verdicts_time", "verdicts", ["captured_at", "station_id", "decision"])

    for trigger in SQLITE_TRIGGERS if op.get_context().dialect.name == "sqlite" else POSTGRES_TRIGGERS:
        op.execute(trigger)
