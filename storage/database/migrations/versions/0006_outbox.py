"""Create the tables of outputs and of the verdicts that wait for them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TIME = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")  # microseconds since 1970 on SQLite
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Migrate to this revision."""
    op.create_table(
        "outputs",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("registered_at", TIME, nullable=False),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_outputs"),
    )
    op.create_table(
        "outbox",
        sa.Column("output", sa.String(length=64), nullable=False),
        sa.Column("verdict_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("rejection", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdicts.id"], name="fk_outbox_verdict_id"),
        sa.PrimaryKeyConstraint("output", "verdict_id", name="pk_outbox"),
    )
