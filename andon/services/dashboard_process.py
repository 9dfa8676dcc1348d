"""The dashboard's process seen from its parent: Streamlit as a child, its health, and gauges read from the database."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from alerts.settings import AlertsSettings
from andon.errors import CommandIncomplete, PortInUse
from andon.settings import environment_variable
from dashboard.app.command import command
from dashboard.app.settings import DashboardSettings
from foundation.clock import utc_now
from storage.database.engine import Database
from storage.errors import StorageError
from storage.line import dead_letters, stations, verdicts
from storage.settings import StorageSettings

STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.2


@contextmanager
def run_streamlit(
    listening: DashboardSettings, storage: StorageSettings, alerts: AlertsSettings | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the dashboard while inside; other rooms' settings reach it by environment: no secret on a command line.

    Raises `PortInUse`.
    """
    _require_free(listening.host, listening.port)
    rooms = {"storage": storage, "alerts": alerts or AlertsSettings()}
    given = {
        environment_variable(f"{room}.{name}"): str(value)
        for room, settings in rooms.items()
        for name, value in settings.model_dump(mode="json").items()
    }
    child = subprocess.Popen(
        command(listening),
        env=os.environ | given,
        start_new_session=True,  # Ctrl-C reaches it through us alone
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for_stop(child: "subprocess.Popen[bytes]", stop: threading.Event) -> None:
    """Return when `stop` is set; raises `Incomplete` when the dashboard ends by itself."""
    while not stop.wait(POLL_INTERVAL_S):
        status = child.poll()
        if status is not None:
            raise CommandIncomplete(f"The dashboard ended by itself with exit status {status}; its last lines say why.")


def browser_host(host: str) -> str:
    """What to type into a browser on this machine for an address that is listened on."""
    return "localhost" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 (compared, not bound)


def health(child: "subprocess.Popen[bytes]", database: Database) -> list[str]:
    """Why the dashboard is not well, one sentence a reason."""
    reasons = []
    if child.poll() is not None:
        reasons.append(f"The dashboard's Streamlit process has ended with exit status {child.returncode}.")
    try:
        database.require_current_schema()
    except StorageError as error:
        reasons.append(str(error))
    return reasons


def registry(database: Database) -> CollectorRegistry:
    """Gauges for Prometheus that are read from the database at each scrape."""
    made = CollectorRegistry()
    made.register(DatabaseCollector(database))
    return made


def database_gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    """Return the gauges that `DatabaseCollector` fills: database up, frame age, parked frames, pending dead letters."""
    return (
        GaugeMetricFamily("andon_database_up", "1 while the database answers."),
        GaugeMetricFamily(
            "andon_station_last_frame_age_seconds", "Seconds since the newest frame with a verdict.", labels=["station"]
        ),
        GaugeMetricFamily("andon_station_parked_frames", "Frames that wait for a normal set.", labels=["station"]),
        GaugeMetricFamily("andon_dead_letters_pending", "Dead letters that were not replayed."),
    )


class DatabaseCollector(Collector):
    """Age of each station's last frame, parked frames, dead letters that wait, and whether the database answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of time: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges, read in one transaction; without a database, only that it is unavailable."""
        up, age, parked, letters = database_gauges()
        now = utc_now()
        try:
            with self._database.read() as session:
                names = {station.id: station.name for station in stations.list_all(session)}
                for summary in verdicts.summaries(session, since=now - timedelta(minutes=1), sparkline=1):
                    parked.add_metric([names[summary.station_id]], summary.parked)
                    if summary.latest is not None:
                        age.add_metric([names[summary.station_id]], (now - summary.latest.captured_at).total_seconds())
                letters.add_metric([], dead_letters.count(session, replayed=False))
        except StorageError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield from (up, age, parked, letters)


def _require_free(host: str, port: int) -> None:
    """Streamlit would quietly take the next port; a wall that is not where it was announced is worse than an error."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"The dashboard can't listen on {host}:{port} ({error.strerror}); choose another with --port or --host."
            ) from None
