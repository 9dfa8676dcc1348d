"""Add the random sample of passed frames, and an index to find a part by its id."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NOT_DRAWN = sa.text("false")
REVIEWED = {
    "ix_reviewed_frames_station_time": ["station_id", "captured_at"],
    "ix_reviewed_frames_time": ["captured_at", "station_id"],
}


def upgrade() -> None:
    """Migrate to this revision."""
    op.add_column("stations", sa.Column("sample_one_in", sa.Integer(), server_default=sa.text("200"), nullable=False))
    for table in ("verdicts", "review_queue", "reviewed_frames"):
        op.add_column(table, sa.Column("sampled", sa.Boolean(), server_default=NOT_DRAWN, nullable=False))
    op.create_index(
        "ix_review_queue_sampled",
        "review_queue",
        ["captured_at", "frame_id"],
        sqlite_where=sa.text("sampled = 1"),
        postgresql_where=sa.text("sampled"),
    )
    for name, first in REVIEWED.items():
        op.drop_index(name, "reviewed_frames")
        op.create_index(name, "reviewed_frames", [*first, "decision", "word", "sampled"])
    op.create_index(
        "ix_verdicts_station_part",
        "verdicts",
        ["station_id", "part_id", "captured_at"],
        sqlite_where=sa.text("part_id IS NOT NULL"),
        postgresql_where=sa.text("part_id IS NOT NULL"),
    )
