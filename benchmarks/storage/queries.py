"""Time the dashboard's queries and pages over many verdicts, and show which indices each query reads.

`python -m benchmarks.storage.queries --rows 1000000 --database sqlite|postgres|URL [--quick] [--json FILE]` fills a new
database, runs each query as the dashboard does and each page as a whole, and ends with 1 when a query's median is above
50 ms (100 ms for the few that run now and then) or a page's above 200 ms. `postgres` starts a server of its own;
a database named by its URL that is filled already is taken as it is. Two thirds of the flagged frames are reviewed, one
audit entry each.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import event
from sqlalchemy.orm import Session

from benchmarks.storage.dashboard_queries import dashboard_queries
from benchmarks.storage.pages import PAGE_GOAL_MS, PAGES, time_page
from benchmarks.storage.seeded_database import (
    describe_engine,
    empty_database,
    is_seeded,
    read_seeded_line,
    seed_database,
)
from storage.database.engine import Database
from storage.database.tables import Base as Schema

GOAL_MS = 50.0
RARE_QUERY_GOAL_MS = 100.0
RARE_QUERIES = {"audit, a text that is nowhere", "totals by shift, 30 d", "review counts by shift, 30 d"}
"""Queries that a person runs once, and that no page repeats every few seconds."""

INDEX = re.compile(
    r"USING (?:COVERING )?INDEX (\w+)|USING (?:INTEGER )?(PRIMARY KEY)|\b(SCAN \w+)\b(?! USING)"  # SQLite
    r"|Index(?: Only)? Scan(?: Backward)? using (\w+)|Bitmap Index Scan on (\w+)|(Seq Scan on \w+)"  # PostgreSQL
)


@dataclass(frozen=True, slots=True)
class QueryTiming:
    """The time of a query or page.

    Attributes:
        query: Its name.
        median_ms: The median of wall time.
        p95_ms: The 95th percentile of wall time.
        cpu_ms: The median of this process's CPU time, which other load changes little.
        reads: The indices, or the tables that are scanned, in the query's plans; empty for a page.
        goal_ms: The goal for the median.
    """

    query: str
    median_ms: float
    p95_ms: float
    cpu_ms: float
    reads: list[str]
    goal_ms: float = GOAL_MS

    @property
    def is_slow(self) -> bool:
        """Whether the median is above the goal."""
        return self.median_ms > self.goal_ms


def main() -> int:
    """Seed, measure, print and, with --json, write; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgres, or the URL of an empty database")
    parser.add_argument("--stations", type=int, default=12)
    parser.add_argument("--days", type=float, default=30.0, help="the time over which the verdicts are spread")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 5 repeats")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows, repeats = (20_000, 5) if options.quick else (options.rows, options.repeats)
    console = Console()
    with empty_database(options.database) as url:
        database = Database(url)
        database.upgrade()
        filled = is_seeded(database)
        line = (
            read_seeded_line(database)
            if filled
            else seed_database(database, rows, options.stations, timedelta(days=options.days), console)
        )
        timings = [
            time_query(database, name, query, repeats, record=name.startswith(("record", "claim")))
            for name, query in dashboard_queries(line, options.stations).items()
        ]
        timings += [
            summarise(f"page: {name}", *time_page(url, name, line, max(3, repeats // 3)), [], PAGE_GOAL_MS)
            for name in PAGES
        ]
        backend = describe_engine(database)
        database.close()
    print_table(
        console, f"{rows:,} verdicts of {options.stations} stations in {options.days:g} days on {backend}", timings
    )
    if options.json is not None:
        found = {"database": backend, "rows": rows, "stations": options.stations, "days": options.days}
        options.json.write_text(json.dumps({**found, "queries": [asdict(timing) for timing in timings]}, indent=1))
    slow = [timing.query for timing in timings if timing.is_slow]
    all_fast = f"All queries are under {GOAL_MS:g} ms, all pages' data under {PAGE_GOAL_MS:g} ms."
    console.print(f"Too slow: {', '.join(slow)}." if slow else all_fast)
    return 1 if slow else 0


def time_query(
    database: Database, name: str, query: Callable[[Session], object], repeats: int, *, record: bool
) -> QueryTiming:
    """Run a query once for its plans, then `repeats` times with a timer, each in a transaction of its own."""
    opened = database.begin if record else database.read
    with opened() as session:
        reads = [] if record else indices_of(session, query)
    took_ms, cpu_ms = [], []
    for _ in range(repeats):
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        with opened() as session:
            query(session)
        took_ms.append((time.perf_counter() - started_s) * 1000)
        cpu_ms.append((time.process_time() - started_cpu_s) * 1000)
    return summarise(name, took_ms, cpu_ms, reads, RARE_QUERY_GOAL_MS if name in RARE_QUERIES else GOAL_MS)


def summarise(name: str, took_ms: list[float], cpu_ms: list[float], reads: list[str], goal_ms: float) -> QueryTiming:
    """Return median and 95th percentile of a query's times."""
    in_order = sorted(took_ms)
    p95 = in_order[min(len(in_order) - 1, round(0.95 * len(in_order)))]
    work = statistics.median(cpu_ms)
    return QueryTiming(name, round(statistics.median(in_order), 2), round(p95, 2), round(work, 2), reads, goal_ms)


def indices_of(session: Session, query: Callable[[Session], object]) -> list[str]:
    """Return the indices that the statements of a query read, according to the database's planner."""
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


def print_table(console: Console, title: str, timings: list[QueryTiming]) -> None:
    """Print a row per query, in red if it is slow."""
    table = Table(title=title)
    table.add_column("query")
    table.add_column("median ms", justify="right")
    table.add_column("p95 ms", justify="right")
    table.add_column("CPU ms", justify="right")
    table.add_column("reads")
    for timing in timings:
        style = "bold red" if timing.is_slow else None
        reads = "\n".join(timing.reads)
        table.add_row(
            timing.query, f"{timing.median_ms:.1f}", f"{timing.p95_ms:.1f}", f"{timing.cpu_ms:.1f}", reads, style=style
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
