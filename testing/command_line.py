"""The `andon` command, as a function in this process and as a real process, in a folder and environment of its own."""

import logging
import os
import socket
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

UP_WITHIN_S = 120.0  # of a machine that runs other tests as well


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str
    error: BaseException | None
    """The exception that the command reported, for a command that ran in this process."""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no ANDON_ variable but the suite's own."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith("ANDON_") and not name.startswith("ANDON_TEST_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def on_torch(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workplace, where no engine is measured: that takes seconds, and every test has a folder of its own."""
    monkeypatch.setenv("ANDON_SCORER__ENGINE", "torch")
    return workplace


@pytest.fixture
def andon(on_torch: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Andon]:
    """Run one command in this process: ``andon("station", "add", "s1")``."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*words: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(word) for word in words])
        written = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Finished(exited.value.code, written.out, written.err, exited.value.__cause__)

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def start_andon(on_torch: Path) -> Iterator[Start]:
    """Start one command as a process: ``start_andon("score")``; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*words: object, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "andon", *(str(word) for word in words)],
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


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int, path: str) -> tuple[int, str]:
    """Status and text of one answer, asked for until something listens."""
    until = time.monotonic() + UP_WITHIN_S
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def get_until(port: int, path: str, wanted: str) -> str:
    """The text of an answer once `wanted` is in it."""
    until = time.monotonic() + UP_WITHIN_S
    while wanted not in (text := get(port, path)[1]):
        assert time.monotonic() < until, f"{wanted!r} never came; the last answer was: {text}"
        time.sleep(0.05)
    return text
