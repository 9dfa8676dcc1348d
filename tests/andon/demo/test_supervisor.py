"""The demo's supervisor restarts killed processes, and leaves nothing behind."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from andon.demo.supervisor import ProcessFailed, ProcessSpec, Supervisor

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


def exit_with(code: int) -> list[str]:
    return [sys.executable, "-c", f"print('last words'); raise SystemExit({code})"]


def supervise_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    while not condition():
        supervisor.restart_dead()


def pid_of(home: Path, name: str) -> int:
    return int((home / "run" / f"{name}.pid").read_text())


def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as supervisor:
        supervisor.start(ProcessSpec("scorer", SLEEPS, restart=True))
        first = pid_of(tmp_path, "scorer")
        os.kill(first, signal.SIGKILL)
        supervise_until(supervisor, lambda: pid_of(tmp_path, "scorer") != first)
        assert supervisor.running("scorer")
        assert supervisor.restarts == {"scorer": 1}


def test_a_process_that_exits_with_zero_is_not_restarted(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as supervisor:
        supervisor.start(ProcessSpec("camera", exit_with(0), restart=False))
        supervise_until(supervisor, lambda: not supervisor.running("camera"))
        supervisor.restart_dead()
        assert supervisor.restarts == {}


def test_a_failed_process_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as supervisor:
        supervisor.start(ProcessSpec("camera", exit_with(3), restart=False))
        with pytest.raises(ProcessFailed, match=r"camera.* 3.*camera\.log"):
            supervise_until(supervisor, lambda: False)
    assert "last words" in (tmp_path / "logs" / "camera.log").read_text()


def test_a_process_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as supervisor:
        supervisor.start(ProcessSpec("scorer", exit_with(1), restart=True))
        with pytest.raises(ProcessFailed, match=r"scorer.*5"):
            supervise_until(supervisor, lambda: False)


def has_restarted(folder: Path, number: int) -> bool:
    return pid_of(folder, "scorer") != number


def test_the_restart_count_is_reset_after_a_process_ran_for_a_while(tmp_path: Path) -> None:
    now = 0.0
    with Supervisor(tmp_path, os.environ, clock=lambda: now) as supervisor:
        supervisor.start(ProcessSpec("scorer", SLEEPS, restart=True))
        for death in range(8):
            number = pid_of(tmp_path, "scorer")
            now = 1000.0 * (death + 1)
            os.kill(number, signal.SIGKILL)
            supervise_until(supervisor, partial(has_restarted, tmp_path, number))
        assert supervisor.restarts == {"scorer": 8}


def test_stopping_leaves_no_process_and_no_pid_file(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as supervisor:
        supervisor.start(ProcessSpec("scorer", SLEEPS, restart=True))
        number = pid_of(tmp_path, "scorer")
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert list((tmp_path / "run").iterdir()) == []
