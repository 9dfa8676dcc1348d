"""Add bad pictures: why a frame is one, and how many there were in each minute, hour and day."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Migrate to this revision."""
    op.add_column("verdicts", sa.Column("picture_problem", sa.String(length=40), nullable=True))
    none = sa.text("0")  # no earlier version found any
    op.add_column("verdict_rollups", sa.Column("bad_pictures", sa.BigInteger(), server_default=none, nullable=False))
