"""Add camera times that can't be true, an index in order of arrival, and what a threshold's references depend on."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

TIME = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")  # microseconds since 1970 on SQLite


def upgrade() -> None:
    """Migrate to this revision."""
    for table in ("verdicts", "parked_frames"):
        op.add_column(table, sa.Column("stamped_at", TIME, nullable=True))
    op.create_index("ix_verdicts_station", "verdicts", ["station_id", "id"])
    op.add_column("thresholds", sa.Column("references_digest", sa.String(length=64), nullable=True))
