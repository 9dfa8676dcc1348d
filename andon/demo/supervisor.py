"""The supervisor of the demo's processes: it starts them, restarts those that die, and stops them in order."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import structlog

from foundation.errors import AndonError
from foundation.private_files import make_private_folder

log = structlog.get_logger()

STOP_TIMEOUT_S = 15.0  # time for a process to finish its batch before it is killed
MAX_RESTARTS = 5  # deaths in a row, each within HEALTHY_AFTER_S of its start
HEALTHY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process: one with `restart` should never end; the others end by themselves with exit code 0."""

    name: str
    argv: Sequence[str]
    restart: bool


class ProcessFailed(AndonError):
    """A process ended that should not have, or keeps dying; the message names its log."""


class Supervisor:
    """Each process writes to ``<home>/logs/<name>.log`` and has its number in ``<home>/run/<name>.pid``."""

    def __init__(self, home: Path, environment: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self.logs, self._run = home / "logs", home / "run"
        self._environment = dict(environment)
        self._clock = clock
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._specs: dict[str, ProcessSpec] = {}
        self._started_at: dict[str, float] = {}
        self._recent_deaths: dict[str, int] = {}
        self.restarts: dict[str, int] = {}
        self._open_logs = ExitStack()

    def __enter__(self) -> Self:
        make_private_folder(self.logs)
        make_private_folder(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(self, spec: ProcessSpec) -> None:
        """Start a process."""
        self._specs[spec.name] = spec
        self._processes[spec.name] = self._spawn(spec)

    def _spawn(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        output: IO[bytes] = self._open_logs.enter_context((self.logs / f"{spec.name}.log").open("ab"))
        # A session of its own: Ctrl-C reaches the demo alone, which then stops the others in order.
        process = subprocess.Popen(
            spec.argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        (self._run / f"{spec.name}.pid").write_text(str(process.pid))
        self._started_at[spec.name] = self._clock()
        return process

    def restart_dead(self) -> None:
        """Check every process once: restart those that died, or raise `ProcessFailed` where a restart does not help."""
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            spec = self._specs[name]
            if not spec.restart:
                if code != 0:
                    raise ProcessFailed(f"{name} ended with exit code {code}; its log is {self._log(name)}")
                continue
            lived_s = self._clock() - self._started_at[name]
            deaths = self._recent_deaths.get(name, 0) + 1 if lived_s < HEALTHY_AFTER_S else 1
            if deaths >= MAX_RESTARTS:
                raise ProcessFailed(f"{name} died {deaths} times in a row; its log is {self._log(name)}")
            self._recent_deaths[name] = deaths
            self.restarts[name] = self.restarts.get(name, 0) + 1
            log.warning("process died, starting it again", process=name, exit_code=code)
            self._processes[name] = self._spawn(spec)

    def running(self, name: str) -> bool:
        """Return whether a process is still running."""
        return self._processes[name].poll() is None

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def stop_all(self) -> None:
        """Ask all to stop, the last started first, and kill those that do not within `STOP_TIMEOUT_S`."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = self._clock() + STOP_TIMEOUT_S
        for name, process in self._processes.items():
            try:
                process.wait(timeout=max(deadline - self._clock(), 0.1))
            except subprocess.TimeoutExpired:
                log.warning("process did not stop in time and was killed", process=name, grace_s=STOP_TIMEOUT_S)
                process.kill()
                process.wait()
            (self._run / f"{name}.pid").unlink(missing_ok=True)
        self._open_logs.close()
