"""The compose file is right: our services, with exactly its commands and environment, inspect on real parts.

No container engine is needed: each command runs as a process here, with the service names mapped to loopback.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from andon.cli.line.produce import STALLED_AFTER_S
from andon.services import alert_service, dashboard_process, output_service
from ingest.sources import simulated
from storage.database.engine import Database
from storage.rollups import station_summaries
from testing.command_line import get_until
from testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["migrate", "scorer", "dashboard", "alerts", "outputs", "camera"]
LONG_RUNNING = OURS[1:]
PATIENCE_S = 120.0


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Compose's own interpolation: ${NAME:-default} and ${NAME:?message}."""

    def replacement(found: re.Match[str]) -> str:
        name, operator, rest = found[1], found[2], found[3]
        if variables.get(name):
            return variables[name]
        assert operator == ":-", f"{name} must be set: {rest}"
        return rest

    return re.sub(r"\$\{([A-Z_]+)(:-|:\?)([^}]*)\}", replacement, text)


class ComposeRunner:
    """Stands in for the container engine: a folder for the volumes, loopback for the service names."""

    def __init__(self, folder: Path, kafka: str, postgres_url: str) -> None:
        url = make_url(postgres_url)
        self.metrics_ports = {name: free_port() for name in OURS}
        self.dashboard_port = free_port()
        self._volumes = folder / "volumes"
        self._password = url.password or ""
        self._replacements = {
            "kafka:9092": kafka,
            "andon@postgres:5432/andon": f"{url.username}@{url.host}:{url.port}/{url.database}",
            "/var/lib/andon": str(self._volumes),
        }

    def environment(self, service: str) -> dict[str, str]:
        """Return the service's variables with this machine's addresses, and the variables that any process needs."""
        secrets = {"POSTGRES_PASSWORD": self._password, "ANDON_SECRET_KEY": "only this test knows it"}
        variables = {
            name: interpolate(str(value), secrets) for name, value in SERVICES[service].get("environment", {}).items()
        }
        for service_address, local_address in self._replacements.items():
            variables = {name: value.replace(service_address, local_address) for name, value in variables.items()}
        variables["ANDON_ANDON__METRICS_PORT"] = str(self.metrics_ports[service])
        variables["ANDON_SCORER__ENGINE"] = "torch"  # the measurement takes seconds
        variables["ANDON_DASHBOARD__PORT"] = str(self.dashboard_port)
        return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(self._volumes), **variables}

    def local_path(self, path: str) -> Path:
        """Return where a path of a container is on this machine."""
        return Path(path.replace("/var/lib/andon", str(self._volumes)))

    def run(self, service: str, *command: str, typed: str = "") -> None:
        result = subprocess.run(
            list(command),
            env=self.environment(service),
            cwd=ROOT,
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert result.returncode == 0, result.stderr

    @contextmanager
    def running(self, service: str) -> Iterator[None]:
        """Start the service's command; at the end it must stop by SIGTERM as for `docker compose stop`."""
        process = subprocess.Popen(
            SERVICES[service]["command"],
            env=self.environment(service),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield
            assert process.poll() is None, f"{service} ended by itself: {process.communicate()[1]}"
            process.terminate()
            _, stderr = process.communicate(timeout=60)
            assert process.returncode == 0, f"{service} did not stop cleanly: {stderr}"
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def runner(tmp_path: Path, kafka_bootstrap: str, postgres_url: str) -> ComposeRunner:
    return ComposeRunner(tmp_path, kafka_bootstrap, postgres_url)


def wait_until(condition: Callable[[], bool], awaited: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain: {awaited}"
        time.sleep(0.1)


def add_normals(runner: ComposeRunner, folder: Path) -> None:
    folder.mkdir()
    for number, image in enumerate(simulated.normals("brick", 4, seed=99)):
        (folder / f"good-{number}.jpg").write_bytes(image)
    runner.run("scorer", "andon", "station", "add", "bricks", "--object", "brick wall")
    runner.run("scorer", "andon", "normals", "add", "bricks", str(folder), "--activate")


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_a_frame_produced_by_the_camera_service_becomes_a_verdict_that_the_dashboard_reads(
    runner: ComposeRunner, postgres_url: str, tmp_path: Path
) -> None:
    runner.run("migrate", *SERVICES["migrate"]["command"])
    add_normals(runner, tmp_path / "good")
    add_user = ("andon", "user", "add", "admin", "--role", "admin", "--password-stdin")
    runner.run("dashboard", *add_user, typed="correct horse battery\n")  # it listens on every address
    with closing(Database(postgres_url)) as database, ExitStack() as services:
        for service in LONG_RUNNING:
            services.enter_context(runner.running(service))

        def verdict_count() -> int:
            with database.begin() as session:
                (bricks,) = station_summaries.list_all(session, datetime.now(UTC) - timedelta(hours=1), sparkline=10)
            return bricks.scored

        wait_until(lambda: verdict_count() >= 3, "three verdicts on the dashboard's query")
        for service in LONG_RUNNING:
            assert get_until(runner.metrics_ports[service], "/healthz", "ok")
        wait_until(lambda: delivered_count(runner) >= 3, "three lines in the file of the output")


def delivered_count(runner: ComposeRunner) -> int:
    path = runner.local_path(SERVICES["outputs"]["environment"]["ANDON_OUTPUTS__FILE__PATH"])
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_the_file_contains_no_secret() -> None:
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable):
                assert str(value).startswith("${"), f"{name} has {variable} in the open"
    assert "PASSWORD=\n" in (ROOT / "deploy" / "env.example").read_text()


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_every_long_running_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert re.search(r"^USER 10001$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_volume_and_dependency_exists(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).exists(), mount
    for dependency in SERVICES[name].get("depends_on", {}):
        assert dependency in SERVICES


def test_our_services_write_to_volumes() -> None:
    for name in ("scorer", "dashboard", "alerts", "camera"):
        mounted = {mount.split(":")[1] for mount in SERVICES[name]["volumes"]}
        assert "/var/lib/andon/images" in mounted
    assert "/var/lib/andon/outputs" in {mount.split(":")[1] for mount in SERVICES["outputs"]["volumes"]}
    assert "/var/lib/andon/spool" in {mount.split(":")[1] for mount in SERVICES["camera"]["volumes"]}


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found is not None, duration
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]


def mounts(name: str) -> set[str]:
    return {mount.split(":")[1] for mount in SERVICES[name].get("volumes", [])}


@pytest.mark.parametrize("name", OURS)
def test_every_folder_that_a_service_writes_is_a_volume_of_the_image(name: str) -> None:
    written = {
        "scorer": ["REFERENCES_PATH", "ENGINES_PATH", "WEIGHTS_PATH"],
        "camera": ["SPOOL_PATH", "STATE_PATH"],
    }
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    for setting in written.get(name, []):
        (path,) = [value for key, value in SERVICES[name]["environment"].items() if key.endswith(f"__{setting}")]
        assert path in mounts(name), setting
    for path in mounts(name):
        assert re.search(rf"{path}\b", dockerfile), f"{path} would belong to root in a new volume"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_limit_of_memory_and_rotated_logs(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_what_shares_memory_has_more_of_it_than_docker_s_64_mb() -> None:
    assert {name for name, service in SERVICES.items() if "shm_size" in service} == {"scorer", "postgres"}


def test_stopping_waits_longer_than_a_process_needs_to_finish() -> None:
    def grace_s(name: str) -> float:
        return seconds(SERVICES[name]["stop_grace_period"])

    assert grace_s("camera") > STALLED_AFTER_S
    assert grace_s("dashboard") > dashboard_process.STOP_TIMEOUT_S
    assert grace_s("alerts") > alert_service.STOP_TIMEOUT_S
    assert grace_s("outputs") > output_service.STOP_TIMEOUT_S
    assert grace_s("scorer") >= 60
    assert min(grace_s("kafka"), grace_s("postgres")) >= 60


def test_kafka_has_a_limit_of_bytes_and_a_listener_for_cameras_outside_on_this_machine_alone() -> None:
    kafka = SERVICES["kafka"]["environment"]
    assert int(interpolate(kafka["KAFKA_LOG_RETENTION_BYTES"], {})) > 0
    assert "EXTERNAL://localhost:9094" in interpolate(kafka["KAFKA_ADVERTISED_LISTENERS"], {})
    assert "EXTERNAL://:9094" in kafka["KAFKA_LISTENERS"]
    assert "EXTERNAL:" in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert interpolate(port, {}).startswith("127.0.0.1:"), f"{name} is open to the network"


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_an_outage_of_something_else_makes_no_service_of_ours_unhealthy(name: str) -> None:
    assert "/livez" in " ".join(SERVICES[name]["healthcheck"]["test"])


def test_every_variable_of_the_file_is_in_the_example() -> None:
    named = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text())) - {"ANDON_VERSION"}
    example = (ROOT / "deploy" / "env.example").read_text()
    assert {name for name in named if f"\n{name}=" not in f"\n{example}"} == set()
