"""Add review limits, above which frames that pass go to review, the frames that stations ask about, and autopilots."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Migrate to this revision."""
    op.add_column("thresholds", sa.Column("review_limit", sa.Double(), nullable=True))  # null in earlier versions
    op.add_column("verdicts", sa.Column("review_limit", sa.Double(), nullable=True))
    none, few = sa.text("0"), sa.text("40")
    op.add_column("verdict_rollups", sa.Column("borderline", sa.BigInteger(), server_default=none, nullable=False))
    op.add_column("stations", sa.Column("reviews_per_shift", sa.Integer(), server_default=few, nullable=False))
    propose = sa.text("'propose'")
    op.add_column("stations", sa.Column("autopilot", sa.String(length=8), server_default=propose, nullable=False))
    op.add_column("review_queue", sa.Column("question", sa.Integer(), nullable=True))
    op.create_index(
        "ix_review_queue_question",
        "review_queue",
        ["station_id", "question"],
        unique=False,
        sqlite_where=sa.text("question IS NOT NULL"),
        postgresql_where=sa.text("question IS NOT NULL"),
    )
