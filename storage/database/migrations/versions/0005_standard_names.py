"""Rename tables and columns to standard terms: labels, rollups, normal candidates, heartbeats and guarantees."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TIME = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")  # microseconds since 1970 on SQLite

COLUMNS = (
    ("reviews", "said_id", "idempotency_key"),
    ("reviews", "word", "label"),
    ("reviews", "takes_back", "retracts_id"),
    ("reviewed_frames", "word", "label"),
    ("alerts", "held_at", "condition_seen_at"),
    ("jobs", "beat_at", "heartbeat_at"),
    ("jobs", "taken_by", "claimed_by"),
    ("thresholds", "promise", "guarantee"),
)
REVIEW_CONSTRAINTS = {
    "uq_reviews_said_id": "uq_reviews_idempotency_key",
    "uq_reviews_takes_back": "uq_reviews_retracts_id",
    "fk_reviews_takes_back": "fk_reviews_retracts_id",
}


def upgrade() -> None:
    """Migrate to this revision."""
    create_verdict_rollups()
    create_score_rollups()
    create_normal_candidates()
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    op.execute("UPDATE thresholds SET kind = 'manual' WHERE kind = 'by_hand'")
    dialect = op.get_context().dialect.name
    if dialect == "sqlite":
        rename_review_constraints_on_sqlite()
    else:
        rename_review_constraints_on_postgres()
    rename_retractions(dialect)


def create_verdict_rollups() -> None:
    """Create verdict_rollups from tallies."""
    op.create_table(
        "verdict_rollups",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("width_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("flagged", sa.BigInteger(), nullable=False),
        sa.Column("no_reference", sa.BigInteger(), nullable=False),
        sa.Column("score_sum", sa.Double(), nullable=False),
        sa.Column("score_min", sa.Double(), nullable=True),
        sa.Column("score_max", sa.Double(), nullable=True),
        sa.Column("threshold_max", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_verdict_rollups_station_id"),
        sa.PrimaryKeyConstraint("station_id", "width_s", "started_at", name="pk_verdict_rollups"),
        sqlite_with_rowid=False,
    )
    names = ("station_id", "width_s", "started_at", "frames", "flagged", "no_reference")
    scores = ("score_sum", "score_min", "score_max", "threshold_max")
    move_rows("tallies", "verdict_rollups", {name: name for name in (*names, *scores)})


def create_score_rollups() -> None:
    """Create score_rollups from score_tallies."""
    op.create_table(
        "score_rollups",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("width_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_score_rollups_station_id"),
        sa.PrimaryKeyConstraint("station_id", "width_s", "started_at", "score", name="pk_score_rollups"),
        sqlite_with_rowid=False,
    )
    names = ("station_id", "width_s", "started_at", "score", "frames")
    move_rows("score_tallies", "score_rollups", {name: name for name in names})


def create_normal_candidates() -> None:
    """Create normal_candidates from picked_frames."""
    op.create_table(
        "normal_candidates",
        sa.Column("station_id", sa.Integer(), nullable=False),
        sa.Column("image_reference", sa.String(length=71), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("proposed_by", sa.String(length=64), nullable=False),
        sa.Column("proposed_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name="fk_normal_candidates_station_id"),
        sa.PrimaryKeyConstraint("station_id", "image_reference", name="pk_normal_candidates"),
    )
    kept = {name: name for name in ("station_id", "image_reference", "name")}
    renamed = {"picked_by": "proposed_by", "picked_at": "proposed_at"}
    move_rows("picked_frames", "normal_candidates", kept | renamed)


def move_rows(old: str, new: str, columns: Mapping[str, str]) -> None:
    """Copy every row of the old table, its columns under their new names, and drop it.

    The new table is created rather than renamed, so that its constraints are named after it on SQLite too.
    """
    source = sa.table(old, *(sa.column(name) for name in columns))
    target = sa.table(new, *(sa.column(name) for name in columns.values()))
    op.execute(target.insert().from_select(list(columns.values()), sa.select(*source.columns)))
    op.drop_table(old)


def rename_review_constraints_on_postgres() -> None:
    """Rename the constraints that are named after columns."""
    for old, new in REVIEW_CONSTRAINTS.items():
        op.execute(f"ALTER TABLE reviews RENAME CONSTRAINT {old} TO {new}")


def rename_review_constraints_on_sqlite() -> None:
    """Copy the table, because SQLite cannot rename a constraint. The copy has no triggers."""
    with op.batch_alter_table("reviews", recreate="always") as table:
        table.drop_constraint("uq_reviews_said_id", type_="unique")
        table.drop_constraint("uq_reviews_takes_back", type_="unique")
        table.drop_constraint("fk_reviews_takes_back", type_="foreignkey")
        table.create_unique_constraint("uq_reviews_idempotency_key", ["idempotency_key"])
        table.create_unique_constraint("uq_reviews_retracts_id", ["retracts_id"])
        table.create_foreign_key("fk_reviews_retracts_id", "reviews", ["retracts_id"], ["id"])


def rename_retractions(dialect: str) -> None:
    """Update rows of an append-only table, whose triggers are off meanwhile."""
    if dialect == "sqlite":  # the table was copied without its triggers
        op.execute("UPDATE reviews SET label = 'retracted' WHERE label = 'taken_back'")
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER reviews_keeps_rows_from_{change.lower()} BEFORE {change} ON reviews "
                "BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END"
            )
        return
    op.execute("ALTER TABLE reviews DISABLE TRIGGER USER")
    op.execute("UPDATE reviews SET label = 'retracted' WHERE label = 'taken_back'")
    op.execute("ALTER TABLE reviews ENABLE TRIGGER USER")
