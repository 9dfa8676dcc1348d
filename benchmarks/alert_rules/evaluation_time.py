"""The time that the alert service takes to evaluate its rules over many verdicts.

``python -m benchmarks.alert_rules.evaluation_time [--rows 1000000] [--stations 50] [--database sqlite|postgres]
[--quick]`` fills a new database, then records two verdicts per station before each evaluation. The exit code is 1 when
the median evaluation takes more than 200 ms.
"""

import argparse
import random
import statistics
import time
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import track

from alerts.monitor.monitor import AlertMonitor
from benchmarks.storage.random_rows import random_verdict
from benchmarks.storage.seeded_database import CHUNK, describe_engine, empty_database, load
from foundation.clock import utc_now
from storage.database.engine import Database
from storage.line import normal_sets, stations, verdicts
from storage.line.normal_sets import NormalImage
from storage.line.stations import StationSettings

GOAL_MS = 200.0
SPAN = timedelta(days=30)
FRAMES_PER_EVALUATION = 2


class ManualClock:
    """A clock that is set by hand."""

    def __init__(self, now: datetime) -> None:
        """Start at `now`."""
        self.now = now

    def __call__(self) -> datetime:
        """Return the time that was set."""
        return self.now


def fill(database: Database, rows: int, station_count: int, now: datetime) -> None:
    """Add stations with a normal set each, and verdicts of the last 30 days in the order of their times."""
    start, chance = now - SPAN, random.Random(7)
    with database.begin() as session:
        for number in range(1, station_count + 1):
            added = stations.add(session, f"s{number}", StationSettings(), start)
            good = [NormalImage(f"sha256:{index:064x}", f"good-{index}") for index in range(8)]
            normal_sets.add(session, added.id, good, "", start)
            normal_sets.activate(session, added.id, 1, start)
    step = SPAN / rows
    for first in track(range(0, rows, CHUNK), "Filling"):
        numbers = range(first, min(first + CHUNK, rows))
        load(
            database, [random_verdict(chance, start + number * step, number % station_count + 1) for number in numbers]
        )


def time_evaluations(database: Database, now: datetime, stations: int, repeats: int) -> list[tuple[float, float]]:
    """Return wall and CPU milliseconds of each evaluation; the first one reads all state from the database."""
    clock, chance = ManualClock(now), random.Random(11)
    monitor = AlertMonitor(database, clock)
    spent_ms = []
    for _ in range(repeats + 1):
        clock.now += timedelta(seconds=2)
        new_verdicts = [
            random_verdict(chance, clock.now - timedelta(seconds=age), number)
            for number in range(1, stations + 1)
            for age in range(FRAMES_PER_EVALUATION)
        ]
        with database.begin() as session:
            verdicts.record(session, new_verdicts)
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        monitor.run_round()
        spent_ms.append((1000 * (time.perf_counter() - started_s), 1000 * (time.process_time() - started_cpu_s)))
    return spent_ms


def main() -> int:
    """Fill, measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgres, or the URL of an empty database")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 10 repeats")
    options = parser.parse_args()
    rows, repeats = (20_000, 10) if options.quick else (options.rows, options.repeats)
    console = Console()
    with empty_database(options.database) as url:
        database = Database(url)
        database.upgrade()
        now = utc_now()
        fill(database, rows, options.stations, now)
        first, *others = time_evaluations(database, now, options.stations, repeats)
        backend = describe_engine(database)
        database.close()
    median, slowest = statistics.median(wall for wall, _ in others), max(wall for wall, _ in others)
    cpu = statistics.median(cpu for _, cpu in others)
    console.print(
        f"{rows:,} verdicts of {options.stations} stations on {backend}: an evaluation takes {median:.0f} ms "
        f"(slowest of {repeats}: {slowest:.0f} ms; {cpu:.0f} ms of CPU time), "
        f"the first after a start takes {first[0]:.0f} ms."
    )
    return 1 if median > GOAL_MS else 0


if __name__ == "__main__":
    raise SystemExit(main())
