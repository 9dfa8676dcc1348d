"""Add areas of pictures: the regions in which a frame differs, and the masks of stations."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Migrate to this revision."""
    none = sa.text("0")
    op.add_column("verdicts", sa.Column("regions", sa.JSON(), nullable=True))  # null in earlier versions
    op.add_column("verdicts", sa.Column("mask_version", sa.Integer(), server_default=none, nullable=False))
    op.add_column("stations", sa.Column("mask_version", sa.Integer(), server_default=none, nullable=False))
    op.create_table(
        "station_masks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("areas", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite"), nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_station_masks_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_station_masks"),
        sa.UniqueConstraint("station_id", "version", name="uq_station_masks_station_id_version"),
    )
