"""Add defect sets, the scores of frames by other models than their verdicts', and the setting to learn from defects."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

TIME = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    """Migrate to this revision."""
    learn = sa.text("true")
    op.add_column("stations", sa.Column("learn_defects", sa.Boolean(), server_default=learn, nullable=False))
    op.create_table(
        "defect_sets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("normal_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("scoring_model_id", sa.String(length=64), nullable=False),
        sa.Column("defects", sa.JSON(), nullable=False),
        sa.Column("good_frames", sa.Integer(), nullable=False),
        sa.Column("caught", sa.Integer(), nullable=False),
        sa.Column("caught_without", sa.Integer(), nullable=False),
        sa.Column("in_use", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["normal_set_id"], ["normal_sets.id"], name="fk_defect_sets_normal_set_id"),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_defect_sets_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_defect_sets"),
        sa.UniqueConstraint("station_id", "version", name="uq_defect_sets_station_id_version"),
    )
    op.create_index("ix_defect_sets_normal_set_id_model_id_id", "defect_sets", ["normal_set_id", "model_id", "id"])
    op.create_table(
        "rescored_frames",
        sa.Column("frame_id", sa.Uuid(), nullable=False),
        sa.Column("normal_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("mask_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["normal_set_id"], ["normal_sets.id"], name="fk_rescored_frames_normal_set_id"),
        sa.PrimaryKeyConstraint("frame_id", "normal_set_id", "model_id", name="pk_rescored_frames"),
    )
    op.create_index("ix_rescored_frames_normal_set_id_model_id", "rescored_frames", ["normal_set_id", "model_id"])
