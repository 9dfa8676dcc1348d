"""A database that was filled before the desk was there keeps its rows, and its frames wait for a word."""

from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import create_engine, text

from storage.database.engine import Database
from storage.database.schema import _configuration
from storage.database.tables import UtcDateTime
from storage.line import thresholds
from storage.review import review_queue
from storage.review.review_queue import QueueFilter
from tests.storage.examples import NOON

FLAGGED, BORDERLINE, CLEAR, BARE = (UUID(int=number) for number in (1, 2, 3, 4))
VERDICT = """INSERT INTO verdicts (frame_id, station_id, captured_at, published_at, decided_at, decision, score,
    threshold, components, image_reference, content_type, worker, topic, partition, "offset")
    VALUES (:frame_id, 1, :at, :at, :at, :decision, :score, :threshold, '{}', 'sha256:0', 'image/png', 'w', '', 0, 1)"""


@pytest.fixture
def old_database_url(database_url: str) -> str:
    """A database at the first schema with a station, a set, a threshold and four verdicts."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "0001")
        at = UtcDateTime().process_bind_param(NOON, connection.dialect)
        for statement in (
            "INSERT INTO stations VALUES (1, 's1', 'part', 'wait', 'letterbox', 0.01, 60, :at)",
            "INSERT INTO normal_sets VALUES (1, 1, 1, 'active', '', :at, :at, NULL)",
            "INSERT INTO thresholds VALUES (1, 1, 1, 'm', 0.5, 0.01, 'a promise', :at, 'worker-1')",
        ):
            connection.execute(text(statement), {"at": at})
        for frame_id, decision, score, threshold in (
            (FLAGGED, "flag", 0.75, 0.5),
            (BORDERLINE, "pass", 0.46, 0.5),
            (CLEAR, "pass", 0.4, 0.5),
            (BARE, "no_reference", None, None),
        ):
            kept = frame_id.hex if connection.dialect.name == "sqlite" else frame_id
            row = {"frame_id": kept, "at": at, "decision": decision, "score": score, "threshold": threshold}
            connection.execute(text(VERDICT), row)
    engine.dispose()
    return database_url


def test_what_was_there_stays_and_flagged_and_borderline_frames_wait(old_database_url: str) -> None:
    database = Database(old_database_url)
    database.upgrade()
    with database.read() as session:
        (kept,) = thresholds.history(session, 1)
        waiting = review_queue.list_queued(session, QueueFilter(order="most_uncertain"))
    assert (kept.value, kept.kind, kept.reason, kept.made_at) == (0.5, "calibrated", "", NOON)
    assert [frame.frame_id for frame in waiting] == [BORDERLINE, FLAGGED]
    assert [frame.margin for frame in waiting] == pytest.approx([0.08, 0.5])
    assert {frame.captured_at for frame in waiting} == {NOON}
    database.close()
