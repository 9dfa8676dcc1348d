"""Chain the entries of the audit log by a hash, so that a changed or missing one shows; earlier entries have none."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Migrate to this revision."""
    op.add_column("audit", sa.Column("hash", sa.String(length=64), nullable=True))
