"""The time that the alert service takes to evaluate its rules over many verdicts.

`python -m benchmarks.alert_rules.evaluation_time [--rows 1000000] [--stations 50] [--database sqlite|postgres]
[--quick]` fills a new
database, then writes two frames a station before each look, and ends with 1 when the median look is above 200 ms.
"""

import argparse
import random
import statistics
import time
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import track

from alerts.monitor.monitor import AlertMonitor
from benchmarks.storage.seeded_database import CHUNK, describe_engine, empty_database, load, random_verdict
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
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def fill(database: Database, rows: int, station_count: int, now: datetime) -> None:
    """Stations with a normal set each, and verdicts of the last 30 days in order of time."""
    begin, chance = now - SPAN, random.Random(7)
    with database.begin() as session:
        for number in range(1, station_count + 1):
            added = stations.add(session, f"s{number}", StationSettings(), begin)
            good = [NormalImage(f"sha256:{index:064x}", f"good-{index}") for index in range(8)]
            normal_sets.add(session, added.id, good, "", begin)
            normal_sets.activate(session, added.id, 1, begin)
    step = SPAN / rows
    for start in track(range(0, rows, CHUNK), "Filling"):
        numbers = range(start, min(start + CHUNK, rows))
        load(
            database, [random_verdict(chance, begin + number * step, number % station_count + 1) for number in numbers]
        )


def time_evaluations(database: Database, now: datetime, stations: int, repeats: int) -> list[tuple[float, float]]:
    """Milliseconds of each look, by the clock and of this process; the first one reads everything anew."""
    clock, chance = ManualClock(now), random.Random(11)
    watch = AlertMonitor(database, clock)
    spent_ms = []
    for _ in range(repeats + 1):
        clock.now += timedelta(seconds=2)
        made = [
            random_verdict(chance, clock.now - timedelta(seconds=age), number)
            for number in range(1, stations + 1)
            for age in range(FRAMES_PER_EVALUATION)
        ]
        with database.begin() as session:
            verdicts.record(session, made)
        began, worked = time.perf_counter(), time.process_time()
        watch.look()
        spent_ms.append((1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)))
    return spent_ms


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--stations", type=int, default=50)
    asked.add_argument("--database", default="sqlite", help="sqlite, postgres, or the URL of an empty database")
    asked.add_argument("--repeats", type=int, default=30)
    asked.add_argument("--quick", action="store_true", help="20,000 rows, 10 repeats")
    given = asked.parse_args()
    rows, repeats = (20_000, 10) if given.quick else (given.rows, given.repeats)
    console = Console()
    with empty_database(given.database) as url:
        database = Database(url)
        database.upgrade()
        now = utc_now()
        fill(database, rows, given.stations, now)
        first, *others = time_evaluations(database, now, given.stations, repeats)
        backend = describe_engine(database)
        database.close()
    median, slowest = statistics.median(wall for wall, _ in others), max(wall for wall, _ in others)
    busy = statistics.median(work for _, work in others)
    console.print(
        f"{rows:,} verdicts of {given.stations} stations on {backend}: a look takes {median:.0f} ms "
        f"(slowest of {repeats}: {slowest:.0f} ms; {busy:.0f} ms of it work of this process), "
        f"the first after a start {first[0]:.0f} ms."
    )
    return 1 if median > GOAL_MS else 0


if __name__ == "__main__":
    raise SystemExit(main())
