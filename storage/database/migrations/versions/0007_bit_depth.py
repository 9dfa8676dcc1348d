"""Add the bit depth of a station's camera: a station's setting, and what was learnt from a normal set."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Migrate to this revision."""
    op.add_column(
        "stations", sa.Column("bit_depth", sa.String(length=4), server_default=sa.text("'auto'"), nullable=False)
    )
    op.add_column("normal_sets", sa.Column("bit_depth", sa.Integer(), nullable=True))
