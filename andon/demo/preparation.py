"""Preparation of the demo: an empty home folder, settings, a database, and stations with their normal sets."""

import fcntl
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alerts.rules.score_drift import ScoreDrift
from andon.demo.plan import FALSE_REJECT_RATE, DemoPlan
from andon.errors import CommandFailed
from foundation.clock import utc_now
from foundation.errors import AndonError
from foundation.private_files import make_private_folder
from ingest.sources import simulated
from storage.actions import alerts, normal_sets, stations
from storage.alerts.alert_rules import AlertRule
from storage.auth.actors import Actor, Role
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line.normal_sets import NormalImage
from storage.line.stations import StationSettings

DEMO_ACTOR = Actor("andon demo", Role.ADMIN)
SAMPLE_ONE_IN = 20  # many more than on a line, so that a demo of a few minutes shows the random sample
NORMALS_SEED_OFFSET = 1_000_003  # normals are drawn apart from the stream, or the stream would show them again


class DemoAlreadyRunning(AndonError):
    """Another demo holds the same home folder."""


@dataclass(frozen=True, slots=True)
class DemoHome:
    """Everything the demo writes lies under `path`; `config` lets any `andon` command look at it."""

    path: Path
    dashboard_port: int

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.path / "andon.toml"

    @property
    def database_url(self) -> str:
        """The URL of the SQLite database."""
        return f"sqlite:///{self.path / 'andon.db'}"

    @property
    def images(self) -> Path:
        """The folder of the image store."""
        return self.path / "images"

    @property
    def bus(self) -> Path:
        """The file of the embedded bus."""
        return self.path / "bus.sqlite"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the caller's environment with this home's settings in place of the caller's own; failpoints stay."""
        inherited_variables = {
            key: value
            for key, value in inherited.items()
            if not key.startswith("ANDON_") or key.startswith("ANDON_TEST_")
        }
        return {**inherited_variables, "ANDON_CONFIG": str(self.config), "PYTHONUNBUFFERED": "1"}


@contextmanager
def locked_home(path: Path, first_port: int) -> Iterator[DemoHome]:
    """Lock the home folder, and clear it of an earlier demo's data and processes.

    Raises:
        DemoAlreadyRunning: Another demo uses the folder.
    """
    make_private_folder(path)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoAlreadyRunning(
                f"A demo runs in {path} already; stop it with Ctrl-C, or choose another folder with --home."
            ) from None
        _end_stray_processes(path / "run")
        for leftover in path.iterdir():
            if leftover.name != ".lock":
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield DemoHome(path.resolve(), _free_port(first_port))


def _end_stray_processes(run: Path) -> None:
    """Kill processes that a killed demo left behind, but none of another program that has one's process id now."""
    for file in run.glob("*.pid"):
        number = int(file.read_text())
        command = Path(f"/proc/{number}/cmdline")
        if command.exists() and b"andon" in command.read_bytes():
            os.kill(number, signal.SIGKILL)


def _free_port(first: int) -> int:
    for port in range(first, first + 100):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise CommandFailed(f"No free port between {first} and {first + 99} for the dashboard; choose one with --port.")


def prepare(home: DemoHome) -> None:
    """Write the settings and create the database."""
    with closing(Database(home.database_url)) as database:
        database.upgrade()
    home.config.write_text(
        f"""# The demo's settings. Look at its data with any command: ANDON_CONFIG={home.config} andon verdicts
[ingest]
bus = "embedded"
embedded_path = "{home.bus}"
spool_path = "{home.path / "spool"}"
state_path = "{home.path / "sources"}"

[storage]
database_url = "{home.database_url}"
images_url = "{home.images}"

[scorer]
detector = "nearest-patch"
references_path = "{home.path / "references"}"

[dashboard]
port = {home.dashboard_port}
refresh_every_s = 1.0
""",
        encoding="utf-8",
    )


def seed(home: DemoHome, plan: DemoPlan) -> None:
    """Add the plan's stations with their normal sets, and let score_drift use fewer in-control frames.

    All of it goes through the audited actions, so that the audit log begins where the demo does.
    """
    database, images = Database(home.database_url), ImageStore(str(home.images))
    with closing(database):
        drift = AlertRule(None, ScoreDrift.kind, {"in_control_frames": plan.in_control_frames}, enabled=True)
        with database.begin() as session:
            alerts.set_rule(session, DEMO_ACTOR, drift, utc_now(), "the demo's frames are few")
        for station in plan.stations:
            normals = [
                NormalImage(images.put(image), f"good part {number}")
                for number, image in enumerate(
                    simulated.normals(station.simulation, station.normals, plan.seed + NORMALS_SEED_OFFSET), start=1
                )
            ]
            now = utc_now()
            with database.begin() as session:
                settings = StationSettings(
                    object_name=station.object_name,
                    false_reject_rate=FALSE_REJECT_RATE,
                    stale_after_s=station.stale_after_s,
                    sample_one_in=SAMPLE_ONE_IN,
                    autopilot=station.autopilot,
                )
                stations.add(session, DEMO_ACTOR, station.name, settings, now)
                normal_set = normal_sets.add(session, DEMO_ACTOR, station.name, normals, "the demo's good parts", now)
                normal_sets.activate(session, DEMO_ACTOR, station.name, normal_set.version, now)
