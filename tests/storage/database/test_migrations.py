"""A database that an earlier schema filled keeps its rows, under the names of the newest schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from storage.alerts import alerts
from storage.database.engine import Database
from storage.database.schema import migrate
from storage.database.tables import UtcDateTime
from storage.line import jobs, normal_candidates, stations, thresholds, verdicts
from storage.line.normal_candidates import NormalCandidate
from storage.review import labels, review_queue, reviews
from storage.review.review_queue import QueueFilter
from storage.rollups import totals
from storage.rollups.totals import Totals
from tests.storage.examples import IMAGE, NOON

FLAGGED, BORDERLINE, CLEAR, BARE = (UUID(int=number) for number in (1, 2, 3, 4))
SUBMITTED, RETRACTED = UUID(int=11), UUID(int=12)
VERDICT = """INSERT INTO verdicts (frame_id, station_id, captured_at, published_at, decided_at, decision, score,
    threshold, components, image_reference, content_type, worker, topic, partition, "offset")
    VALUES (:frame_id, 1, :at, :at, :at, :decision, :score, :threshold, '{}', 'sha256:0', 'image/png', 'w', '', 0, 1)"""
REVIEW = """INSERT INTO reviews (id, said_id, frame_id, station_id, captured_at, decision, word, takes_back, tags, note,
    "by", at) VALUES (:id, :said_id, :frame_id, 1, :at, 'flag', :word, :takes_back, '["burr"]', '', 'mia', :at)"""
FIRST_ROWS = (
    "INSERT INTO stations VALUES (1, 's1', 'part', 'wait', 'letterbox', 0.01, 60, :at)",
    "INSERT INTO normal_sets VALUES (1, 1, 1, 'active', '', :at, :at, NULL)",
    "INSERT INTO thresholds VALUES (1, 1, 1, 'm', 0.5, 0.01, 'at most 10 %', :at, 'worker-1')",
)
LATER_ROWS = (
    """INSERT INTO thresholds (id, station_id, normal_set_id, model_id, value, false_reject_rate, promise, made_at,
    made_by, kind, reason) VALUES (2, 1, 1, 'm', 0.6, 0.01, '', :at, 'mia', 'by_hand', 'glare')""",
    "INSERT INTO tallies VALUES (1, 60, :minute, 7, 2, 1, 3.5, 0.4, 0.75, 0.5)",
    "INSERT INTO score_tallies VALUES (1, 3600, :hour, 0.75, 7)",
    f"INSERT INTO picked_frames VALUES (1, '{IMAGE}', 'frame 3', 'mia', :at)",
    """INSERT INTO jobs (id, kind, station_id, payload, state, progress, requested_by, requested_at, tries, taken_by,
    beat_at) VALUES (1, 'what_if', 1, '{}', 'running', 0, 'mia', :at, 1, 'worker-1', :at)""",
    """INSERT INTO alerts (id, station_id, rule, severity, state, message, evidence, opened_at, held_at, note)
    VALUES (1, 1, 'silent', 'warning', 'opened', 'silent', '{}', :at, :at, '')""",
    """INSERT INTO reviewed_frames (frame_id, review_id, station_id, captured_at, decision, word, tags)
    VALUES (:frame_id, 1, 1, :at, 'flag', 'defect', '["burr"]')""",
)


@contextmanager
def old_schema(url: str, revision: str) -> Iterator[Connection]:
    """A connection to a database that is migrated as far as `revision`, committed at the end."""
    engine = create_engine(url)
    with engine.begin() as connection:
        migrate(connection, revision)
        yield connection
    engine.dispose()


def column_value(connection: Connection, value: UUID | datetime) -> Any:
    """The value as the first schema's driver stores it."""
    if isinstance(value, datetime):
        return UtcDateTime().process_bind_param(value, connection.dialect)
    return value.hex if connection.dialect.name == "sqlite" else value


def insert_first_rows(connection: Connection) -> None:
    """A station, a normal set, a threshold and four verdicts."""
    at = column_value(connection, NOON)
    for statement in FIRST_ROWS:
        connection.execute(text(statement), {"at": at})
    for frame_id, decision, score, threshold in (
        (FLAGGED, "flag", 0.75, 0.5),
        (BORDERLINE, "pass", 0.46, 0.5),
        (CLEAR, "pass", 0.4, 0.5),
        (BARE, "no_reference", None, None),
    ):
        row = {"frame_id": column_value(connection, frame_id), "at": at, "decision": decision}
        connection.execute(text(VERDICT), row | {"score": score, "threshold": threshold})


def insert_later_rows(connection: Connection) -> None:
    """One row of every table and column that the fifth migration renames, a review and its retraction among them."""
    frame_id, at = column_value(connection, FLAGGED), column_value(connection, NOON)
    for review_id, key, word, takes_back in ((1, SUBMITTED, "defect", None), (2, RETRACTED, "taken_back", 1)):
        row = {"id": review_id, "said_id": column_value(connection, key), "word": word, "takes_back": takes_back}
        connection.execute(text(REVIEW), row | {"frame_id": frame_id, "at": at})
    hour = NOON.replace(minute=0, second=0, microsecond=0)
    values = {
        "at": at,
        "frame_id": frame_id,
        "hour": column_value(connection, hour),
        "minute": column_value(connection, hour),
    }
    for statement in LATER_ROWS:
        wanted = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement), wanted)


@pytest.fixture
def upgraded(database_url: str) -> Iterator[Database]:
    """A database that was filled at the fourth revision and then upgraded."""
    with old_schema(database_url, "0001") as connection:
        insert_first_rows(connection)
    with old_schema(database_url, "0004") as connection:
        insert_later_rows(connection)
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()


def test_rows_of_the_first_schema_stay_and_flagged_and_borderline_frames_are_queued(database_url: str) -> None:
    with old_schema(database_url, "0001") as connection:
        insert_first_rows(connection)
    database = Database(database_url)
    database.upgrade()
    with database.read() as session:
        (threshold,) = thresholds.history(session, 1)
        queued = review_queue.list_queued(session, QueueFilter(order="most_uncertain"))
    assert (threshold.value, threshold.kind, threshold.reason, threshold.made_at) == (0.5, "calibrated", "", NOON)
    assert threshold.guarantee == "at most 10 %"
    assert [frame.frame_id for frame in queued] == [BORDERLINE, FLAGGED]
    assert [frame.margin for frame in queued] == pytest.approx([0.08, 0.5])
    assert {frame.captured_at for frame in queued} == {NOON}
    database.close()


def test_renamed_tables_and_columns_keep_their_rows(upgraded: Database) -> None:
    with upgraded.read() as session:
        assert [one.kind for one in thresholds.history(session, 1)] == ["manual", "calibrated"]
        assert normal_candidates.list_all(session, 1) == [NormalCandidate(1, IMAGE, "frame 3", "mia", NOON)]
        job = jobs.get(session, 1)
        assert (job.claimed_by, job.heartbeat_at) == ("worker-1", NOON)
        assert alerts.get(session, 1).condition_seen_at == NOON
        assert labels.current(session, [FLAGGED])[FLAGGED].label == "defect"
        hour = NOON.replace(minute=0, second=0, microsecond=0)
        assert totals.by_station(session, hour, hour.replace(minute=1)) == {1: Totals(7, 2, 1)}
        assert verdicts.get(session, FLAGGED).score == 0.75


def test_frames_of_earlier_versions_have_no_review_limit_and_nothing_is_asked(upgraded: Database) -> None:
    with upgraded.begin() as session:
        assert {one.review_limit for one in thresholds.history(session, 1)} == {None}
        near = verdicts.get(session, BORDERLINE)
        assert (near.review_limit, near.is_borderline) == (None, False)
        assert stations.by_id(session, 1).settings.reviews_per_shift == 40
        assert review_queue.questions(session) == {}
        review_queue.ask(session, 1, [CLEAR, BORDERLINE])
        assert review_queue.asked(session, 1) == [CLEAR, BORDERLINE]


def test_frames_of_earlier_versions_have_no_regions(upgraded: Database) -> None:
    with upgraded.read() as session:
        assert {verdict.regions for verdict in verdicts.recent(session)} == {None}


def test_reviews_keep_their_keys_and_stay_append_only(upgraded: Database) -> None:
    with upgraded.read() as session:
        retraction, review = reviews.history(session, FLAGGED)
    assert (review.idempotency_key, review.label, review.tags) == (SUBMITTED, "defect", ("burr",))
    assert (retraction.idempotency_key, retraction.label, retraction.retracts_id) == (RETRACTED, "retracted", 1)
    for change in ("UPDATE reviews SET note = 'else'", "DELETE FROM reviews"):
        with pytest.raises(DBAPIError), upgraded.begin() as session:
            session.execute(text(change))


def test_foreign_keys_are_checked_again_after_an_upgrade(upgraded: Database) -> None:
    orphan = NormalCandidate(99, IMAGE, "frame of no station", "mia", NOON)
    with pytest.raises(DBAPIError), upgraded.begin() as session:
        normal_candidates.add(session, orphan)
