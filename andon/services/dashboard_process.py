"""The dashboard's Streamlit process, as its parent sees it: start and stop, health, and metrics from the database."""

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
from pydantic import SecretStr

from alerts.settings import AlertsSettings
from andon.errors import CommandFailed, CommandIncomplete, PortInUse
from andon.settings import environment_variable
from dashboard.app.command import command
from dashboard.app.settings import DashboardSettings
from foundation.addresses import is_loopback
from foundation.clock import utc_now
from imaging.limits import ImageLimits
from storage.auth import identity
from storage.database.engine import Database
from storage.errors import StorageError
from storage.line import dead_letters, stations
from storage.rollups import station_summaries
from storage.settings import StorageSettings

STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.2


@contextmanager
def run_streamlit(
    dashboard: DashboardSettings, storage: StorageSettings, alerts: AlertsSettings, limits: ImageLimits
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the dashboard as a child process for as long as the block lasts.

    The settings of storage and alerts, and the scorer's limits on images, reach it through environment variables: no
    secret is on a command line.

    Raises:
        PortInUse: The port of the settings can't be listened on.
    """
    _require_free_port(dashboard.host, dashboard.port)
    sections = {"storage": storage, "alerts": alerts}
    variables = {
        environment_variable(f"{section}.{name}"): str(
            value.get_secret_value() if isinstance(value, SecretStr) else value
        )
        for section, settings in sections.items()
        for name, value in settings
        if value is not None
    }
    variables[environment_variable("scorer.max_image_bytes")] = str(limits.max_bytes)
    variables[environment_variable("scorer.max_image_pixels")] = str(limits.max_pixels)
    process = subprocess.Popen(
        command(dashboard),
        env=os.environ | variables,
        start_new_session=True,  # Ctrl-C reaches the child through this process alone
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def require_users(dashboard: DashboardSettings, database: Database) -> None:
    """Raise `CommandFailed` where everybody on the network would be an admin, unless the settings allow that."""
    if is_loopback(dashboard.host) or dashboard.allow_anybody:
        return
    with database.read() as session:
        if identity.is_single_user(session):
            raise CommandFailed(
                f"There is no user, so anybody who reaches {dashboard.host}:{dashboard.port} would be an admin: "
                "add one with `andon user add NAME --role admin`, or pass --allow-anybody on a network of your own."
            )


def wait_for_stop(process: "subprocess.Popen[bytes]", stop: threading.Event) -> None:
    """Return when `stop` is set.

    Raises:
        CommandIncomplete: The dashboard ended by itself.
    """
    while not stop.wait(POLL_INTERVAL_S):
        status = process.poll()
        if status is not None:
            raise CommandIncomplete(f"The dashboard ended by itself with exit status {status}; its output says why.")


def browser_host(host: str) -> str:
    """Return the host for a browser on this machine that reaches a server which listens on `host`."""
    return "localhost" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 (compared, not bound)


def health(process: "subprocess.Popen[bytes]", database: Database) -> list[str]:
    """Return why the dashboard is unhealthy, one sentence per reason."""
    reasons = []
    if process.poll() is not None:
        reasons.append(f"The dashboard's Streamlit process has ended with exit status {process.returncode}.")
    try:
        database.require_current_schema()
    except StorageError as error:
        reasons.append(str(error))
    return reasons


def create_registry(database: Database) -> CollectorRegistry:
    """Return a registry of gauges that are read from the database at each scrape."""
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(database))
    return registry


def database_gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    """Return the gauges that `DatabaseCollector` fills: database up, frame age, parked frames, pending dead letters."""
    return (
        GaugeMetricFamily("andon_database_up", "1 while the database answers."),
        GaugeMetricFamily(
            "andon_station_last_frame_age_seconds",
            "Seconds since the newest frame with a verdict arrived.",
            labels=["station"],
        ),
        GaugeMetricFamily(
            "andon_station_parked_frames", "Frames that wait for an active normal set.", labels=["station"]
        ),
        GaugeMetricFamily("andon_dead_letters_pending", "Dead letters that were not replayed."),
    )


class DatabaseCollector(Collector):
    """Gauges of each station's last frame and parked frames, of dead letters, and of the database's availability."""

    def __init__(self, database: Database) -> None:
        """Read from this database."""
        self._database = database

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing, so that registering does not read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges, read in one transaction; without a database, only that it is unavailable."""
        up, age, parked, letters = database_gauges()
        now = utc_now()
        try:
            with self._database.read() as session:
                names = {station.id: station.name for station in stations.list_all(session)}
                for summary in station_summaries.list_all(session, since=now - timedelta(minutes=1), sparkline=1):
                    parked.add_metric([names[summary.station_id]], summary.parked)
                    if summary.latest is not None:
                        age.add_metric([names[summary.station_id]], (now - summary.latest.arrived_at).total_seconds())
                letters.add_metric([], dead_letters.count(session, replayed=False))
        except StorageError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield from (up, age, parked, letters)


def _require_free_port(host: str, port: int) -> None:
    """Raise `PortInUse` for a port in use: Streamlit would silently take the next one, which no user knows."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"The dashboard can't listen on {host}:{port} ({error.strerror}); choose others with --host and --port."
            ) from None
