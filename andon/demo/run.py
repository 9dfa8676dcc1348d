"""The run of the demo: cameras, scorer, alert monitor and dashboard as child processes, supervised from here."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from alerts.monitor.monitor import AlertMonitor
from andon.demo.plan import DemoPlan
from andon.demo.preparation import DemoHome, locked_home, prepare, seed
from andon.demo.report import DemoFrame, StationReport, report
from andon.demo.supervisor import ProcessFailed, ProcessSpec, Supervisor
from foundation.clock import utc_now
from ingest.bus.protocol import readable
from ingest.bus.registry import open_bus
from ingest.schema import decode
from ingest.settings import IngestSettings
from storage.alerts import alerts
from storage.alerts.alerts import Alert
from storage.database.engine import Database
from storage.line import dead_letters, stations, verdicts, workers
from storage.rollups import station_summaries
from storage.rollups.station_summaries import StationSummary

WORKER, DASHBOARD, ALERTS = "scorer", "dashboard", "alerts"
ALERT_INTERVAL_S = 1.0
START_LIMIT_S = 600.0  # a busy machine takes minutes to import torch; a process that dies is noticed at once
STALL_LIMIT_S = 90.0  # without one more verdict, once every frame is published
POLL_INTERVAL_S = 0.5
AUDIT_GROUP = "andon-demo-audit"

PrintStatus = Callable[[str], None]
OnProgress = Callable[[list[tuple[str, StationSummary]]], None]


def andon_command(*arguments: str) -> list[str]:
    """Return the argument vector of an `andon` command for this Python."""
    return [sys.executable, "-m", "andon", *arguments]


def run_headless(
    home_path: Path, plan: DemoPlan, print_status: PrintStatus, on_progress: OnProgress, stop: threading.Event
) -> list[StationReport]:
    """Produce the plan's frames, wait for their verdicts, and return the report of every station."""
    with locked_home(home_path, first_port=8501) as home, Supervisor(home.path, home.environment(os.environ)) as line:
        prepare(home)
        start_scorer(home, plan, line, print_status)
        wait_for_scorer(home, line, stop)
        start_alerts(line)
        start_cameras(plan, line, print_status)
        print_status(f"The line runs: {plan.frames} frames, {plan.rate_fps:g} a second at each station.")
        wait_for_verdicts(home, plan, line, on_progress, stop)
        line.stop_all()
        run_final_alert_round(home)
        return match_frames(home, plan)


def run_until_stopped(
    home_path: Path,
    plan: DemoPlan,
    port: int,
    print_status: PrintStatus,
    on_progress: OnProgress,
    on_dashboard: Callable[[str], None],
    on_running: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Run the line and its dashboard until `stop` is set.

    `on_dashboard` is called with the dashboard's URL once it is reachable, `on_running` once the cameras have started.
    """
    with locked_home(home_path, first_port=port) as home, Supervisor(home.path, home.environment(os.environ)) as line:
        prepare(home)
        line.start(ProcessSpec(DASHBOARD, andon_command("dashboard"), restart=True))
        start_scorer(home, plan, line, print_status)
        address = f"http://127.0.0.1:{home.dashboard_port}"
        wait_until(lambda: is_reachable(f"{address}/_stcore/health"), line, stop, "The dashboard")
        on_dashboard(address)
        wait_for_scorer(home, line, stop)
        start_alerts(line)
        start_cameras(plan, line, print_status)
        on_running()
        with closing(Database(home.database_url)) as database:
            while not stop.wait(POLL_INTERVAL_S):
                line.restart_dead()
                on_progress(summaries(database))


def start_scorer(home: DemoHome, plan: DemoPlan, line: Supervisor, print_status: PrintStatus) -> None:
    """Add the stations with their normal sets, then start the scorer, which prepares their references."""
    print_status(f"Preparing {len(plan.stations)} stations, each with a normal set of good parts, in {home.path}.")
    seed(home, plan)
    print_status("Starting the scorer.")
    line.start(ProcessSpec(WORKER, andon_command("score"), restart=True))


def wait_for_scorer(home: DemoHome, line: Supervisor, stop: threading.Event) -> None:
    """Wait until the scorer is ready; nothing is published before."""
    with closing(Database(home.database_url)) as database:
        wait_until(lambda: scorer_runs(database), line, stop, "The scorer")


def start_alerts(line: Supervisor) -> None:
    """Start the alert monitor."""
    line.start(
        ProcessSpec(ALERTS, andon_command("alerts", "watch", "--interval", f"{ALERT_INTERVAL_S:g}"), restart=True)
    )


def start_cameras(plan: DemoPlan, line: Supervisor, print_status: PrintStatus) -> None:
    """Start each station's simulated camera."""
    for index, station in enumerate(plan.stations):
        limit = plan.frames_of(index)
        arguments = [
            "produce",
            station.name,
            "--source",
            station.source(plan.seed + index),
            "--rate",
            str(plan.rate_fps),
        ]
        if limit is not None:
            arguments += ["--limit", str(limit)]
        print_status(f"Starting station {station.name}: {station.description}.")
        line.start(ProcessSpec(f"camera-{station.name}", andon_command(*arguments), restart=False))


def wait_until(condition: Callable[[], bool], line: Supervisor, stop: threading.Event, subject: str) -> None:
    """Supervise the processes until `condition` holds; raises `ProcessFailed` after `START_LIMIT_S`."""
    deadline = time.monotonic() + START_LIMIT_S
    while not condition() and not stop.wait(0.1):
        line.restart_dead()
        if time.monotonic() > deadline:
            raise ProcessFailed(f"{subject} was not ready after {START_LIMIT_S:.0f} s; its log is in {line.logs}.")


def wait_for_verdicts(
    home: DemoHome, plan: DemoPlan, line: Supervisor, on_progress: OnProgress, stop: threading.Event
) -> None:
    """Wait until every frame of the plan is decided, or until there has been no progress for `STALL_LIMIT_S`."""
    cameras = [f"camera-{station.name}" for station in plan.stations]
    decided, progressed_at = -1, time.monotonic()
    with closing(Database(home.database_url)) as database:
        while not stop.wait(POLL_INTERVAL_S):
            line.restart_dead()
            on_progress(summaries(database))
            with database.read() as session:
                now_decided = verdicts.count(session) + dead_letters.count(session)
            if now_decided != decided or any(line.running(camera) for camera in cameras):
                decided, progressed_at = now_decided, time.monotonic()
            if decided == plan.frames and not any(line.running(camera) for camera in cameras):
                return
            if time.monotonic() - progressed_at > STALL_LIMIT_S:
                return


def run_final_alert_round(home: DemoHome) -> None:
    """Evaluate the rules once more, so that the database holds every alert of the run."""
    with closing(Database(home.database_url)) as database:
        AlertMonitor(database, utc_now).run_round()


def alerts_of(home_path: Path) -> list[tuple[str, Alert]]:
    """Return all alerts of the demo with their stations' names, in the order in which they opened."""
    with closing(Database(DemoHome(home_path.resolve(), 0).database_url)) as database, database.read() as session:
        names = {station.id: station.name for station in stations.list_all(session)}
        return [(names.get(alert.station_id or 0, "the line"), alert) for alert in reversed(alerts.recent(session))]


def match_frames(home: DemoHome, plan: DemoPlan) -> list[StationReport]:
    """Read the whole bus again and match each frame on it with its verdict."""
    with closing(Database(home.database_url)) as database, database.read() as session:
        known = {station.id: station.name for station in stations.list_all(session)}
        decided = [
            verdict
            for station_id in known
            for verdict in verdicts.recent(session, station_id, limit=verdicts.count(session, station_id) or 1)
        ]
    return report([station.name for station in plan.stations], frames_on_the_bus(home), decided)


def frames_on_the_bus(home: DemoHome) -> Iterator[DemoFrame]:
    """Yield every frame on the bus, read by a consumer group of its own."""
    settings = IngestSettings(bus="embedded", embedded_path=home.bus)
    with closing(open_bus(settings)) as bus, closing(bus.consumer(settings.topic, AUDIT_GROUP)) as consumer:
        while records := consumer.poll(max_records=100, timeout_s=1.0):
            for record in readable(records):
                frame = decode(record)
                yield DemoFrame(frame.frame_id, frame.station, frame.truth)


def scorer_runs(database: Database) -> bool:
    """Return whether a scorer is running."""
    with database.read() as session:
        return any(worker.state == "running" for worker in workers.list_all(session))


def summaries(database: Database) -> list[tuple[str, StationSummary]]:
    """Return each station's name and its summary of the last hour."""
    with database.read() as session:
        names = {station.id: station.name for station in stations.list_all(session)}
        since = utc_now() - timedelta(hours=1)
        return [(names[row.station_id], row) for row in station_summaries.list_all(session, since, sparkline=40)]


def is_reachable(address: str) -> bool:
    """Return whether a page answers with status 200."""
    try:
        with urlopen(address, timeout=1) as response:  # noqa: S310  # our own dashboard on this machine
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
