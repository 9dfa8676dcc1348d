"""The `andon` command, as a function in this process and as a real process, in a folder and environment of its own."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
import structlog

from andon.cli import main

Andon = Callable[..., "Finished"]
Start = Callable[..., "subprocess.Popen[str]"]

START_TIMEOUT_S = 120.0  # on a machine that runs other tests as well


@dataclass(frozen=True, slots=True)
class Finished:
    """The exit code of a command and its output."""

    code: int
    out: str
    err: str
    error: BaseException | None
    """The exception that the command reported, for a command that ran in this process."""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one, and remove every ANDON_ variable but the test suite's."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith("ANDON_") and not name.startswith("ANDON_TEST_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def on_torch(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use the engine torch, so that none is measured: that takes seconds, and each test has its own folder."""
    monkeypatch.setenv("ANDON_SCORER__ENGINE", "torch")
    return workplace


@pytest.fixture
def andon(on_torch: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Andon]:
    """Run one command in this process: ``andon("station", "add", "s1")``."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Finished(exited.value.code, written.out, written.err, exited.value.__cause__)

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def start_andon(on_torch: Path) -> Iterator[Start]:
    """Start one command as a process: ``start_andon("score")``; it is killed if it still runs at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "andon", *(str(argument) for argument in arguments)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(port: int, path: str) -> tuple[int, str]:
    """Return the status and text of a response, and wait until something listens."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def get_until(port: int, path: str, expected: str) -> str:
    """Return the text of a response once it contains `expected`."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while expected not in (text := get(port, path)[1]):
        assert time.monotonic() < deadline, f"{expected!r} is not in the last response: {text}"
        time.sleep(0.05)
    return text
