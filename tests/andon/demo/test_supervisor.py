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


def ends_with(code: int) -> list[str]:
    return [sys.executable, "-c", f"print('last words'); raise SystemExit({code})"]


def tend_until(line: Supervisor, condition: Callable[[], bool]) -> None:
    while not condition():
        line.restart_dead()


def pid_of(home: Path, name: str) -> int:
    return int((home / "run" / f"{name}.pid").read_text())


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as line:
        line.start(ProcessSpec("scorer", SLEEPS, restart=True))
        first = pid_of(tmp_path, "scorer")
        os.kill(first, signal.SIGKILL)
        tend_until(line, lambda: pid_of(tmp_path, "scorer") != first)
        assert line.running("scorer")
        assert line.restarts == {"scorer": 1}


def test_a_process_that_ends_well_may_end(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as line:
        line.start(ProcessSpec("camera", ends_with(0), restart=False))
        tend_until(line, lambda: not line.running("camera"))
        line.restart_dead()
        assert line.restarts == {}


def test_a_process_that_ends_badly_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as line:
        line.start(ProcessSpec("camera", ends_with(3), restart=False))
        with pytest.raises(ProcessFailed, match=r"camera ended .* 3.*camera\.log"):
            tend_until(line, lambda: False)
    assert "last words" in (tmp_path / "logs" / "camera.log").read_text()


def test_a_process_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as line:
        line.start(ProcessSpec("scorer", ends_with(1), restart=True))
        with pytest.raises(ProcessFailed, match="scorer died 5 times in a row"):
            tend_until(line, lambda: False)


def has_restarted(folder: Path, number: int) -> bool:
    return pid_of(folder, "scorer") != number


def test_a_process_that_lived_a_while_before_it_died_gets_all_its_chances_again(tmp_path: Path) -> None:
    now = 0.0
    with Supervisor(tmp_path, os.environ, clock=lambda: now) as line:
        line.start(ProcessSpec("scorer", SLEEPS, restart=True))
        for death in range(8):
            number = pid_of(tmp_path, "scorer")
            now = 1000.0 * (death + 1)
            os.kill(number, signal.SIGKILL)
            tend_until(line, partial(has_restarted, tmp_path, number))
        assert line.restarts == {"scorer": 8}


def test_stopping_leaves_no_process_and_no_number_behind(tmp_path: Path) -> None:
    with Supervisor(tmp_path, os.environ) as line:
        line.start(ProcessSpec("scorer", SLEEPS, restart=True))
        number = pid_of(tmp_path, "scorer")
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert list((tmp_path / "run").iterdir()) == []
