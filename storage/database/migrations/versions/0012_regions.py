"""Add the regions of a verdict: where its frame differs."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Migrate to this revision."""
    op.add_column("verdicts", sa.Column("regions", sa.JSON(), nullable=True))  # null in earlier versions
