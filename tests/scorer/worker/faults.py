"""Faults for tests: workers that die at a failpoint, services that are out for a minute, a camera that continues."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID

from ingest.frame import Frame
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from scorer.settings import ScorerSettings
from storage.line.verdicts import Verdict
from testing.line import PATIENCE_S, START, Line, ProgressWaiter, Services, encoded, part, running

A_MINUTE_S = 60.0
AS_THEY_SHIP = {name: ScorerSettings.model_fields[name].default for name in ("retry_backoff_s", "retry_backoff_max_s")}

forking = multiprocessing.get_context("forkserver")  # torch is imported there once, and each worker forked from it
forking.set_forkserver_preload(["tests.scorer.worker.faults"])


@contextmanager
def ready(folder: Path, services: Services) -> Iterator[Line]:
    """A line with the ready station s1."""
    with closing(Line(folder, services)) as line:
        line.station("s1")
        line.normals("s1")
        yield line


def start_worker(line: Line, crash_at: str, drain: bool = True) -> BaseProcess:
    """A worker in a process of its own, which kills itself at a step."""
    worker = forking.Process(target=_work, args=(line.folder, line.services, crash_at, drain))
    worker.start()
    return worker


def _work(folder: Path, services: Services, crash_at: str, drain: bool) -> None:
    os.environ["ANDON_TEST_FAILPOINT"] = crash_at
    Line(folder, services).worker("dying").run(threading.Event(), drain, progress=lambda _: None)


def was_killed(worker: BaseProcess) -> bool:
    worker.join(150)
    return worker.exitcode == -signal.SIGKILL


def ids(line: Line, station: str = "s1") -> list[UUID]:
    """Return the ids of frames with a verdict, of this line's topic; oldest capture first."""
    return [verdict.frame_id for verdict in line.verdicts(station) if verdict.topic == line.topic]


def offset_of(verdict: Verdict) -> int:
    return verdict.offset


def in_order_of_writing(line: Line, station: str = "s1") -> list[UUID]:
    made = sorted(line.verdicts(station), key=lambda verdict: (verdict.decided_at, verdict.offset))
    return [verdict.frame_id for verdict in made]


@contextmanager
def noticed(line: Line, service: str) -> Iterator[tuple[ProgressWaiter, Callable[..., str]]]:
    """Run a worker; yield its progress, and a function that waits until the worker has waited for a service.

    The worker waits for a minute by its own count. The function returns the worker's reason; a function passed as
    `meanwhile` is called repeatedly until then.
    """
    time_over = threading.Event()
    waited_s = 0.0
    reasons: list[str] = []

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        nonlocal waited_s
        waited_s += seconds
        if waited_s >= A_MINUTE_S and not reasons:
            reasons.extend(worker.health())
            time_over.set()
        return stop.wait(min(seconds, 0.01))

    line.settings = line.settings.model_copy(update=AS_THEY_SHIP)
    worker = line.worker(wait_for=wait_for)

    def until_it_waited(meanwhile: Callable[[], object] = lambda: None) -> str:
        deadline_s = time.monotonic() + PATIENCE_S
        while not time_over.wait(0.1):
            assert time.monotonic() < deadline_s
            meanwhile()
        (reason,) = reasons
        assert reason.startswith(f"Waiting for the {service}")
        return reason

    with running(worker) as progress:
        yield progress, until_it_waited


@contextmanager
def taken_away(path: Path) -> Iterator[None]:
    """Move a SQLite file away for the block, in one step each way, so that no process creates an empty one between."""
    hidden = path.parent / "hidden"
    hidden.mkdir()
    for name in path.parent.glob(f"{path.name}*"):
        os.link(name, hidden / name.name)
    _point(path, hidden)
    for name in path.parent.glob(f"{path.name}-*"):
        name.unlink()
    yield
    _point(path, hidden / path.name)


def _point(path: Path, to: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(to)
    link.replace(path)


class NoClaimChecks:
    def put(self, data: bytes) -> str:
        raise AssertionError("nothing here is that large")


@contextmanager
def camera(line: Line) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that sends frames, numbered from the first, by a producer with a spool; all become durable."""
    durable: set[str | None] = set()
    sent: set[str] = set()
    spool = Spool(line.folder / "spool", 100_000_000)
    producer = Producer(line.bus.publisher(line.topic), line.ingest, spool, NoClaimChecks(), lambda: START)

    def send(first: int, count: int) -> None:
        for number in range(first, first + count):
            at = START + timedelta(seconds=number)
            frame = Frame("s1", at, encoded(part(number)), "image/png", part_id=str(number))
            producer.send(frame, lambda frame: durable.add(frame.part_id))
            sent.add(str(number))

    with closing(producer):
        yield send
    assert durable == sent


def parts_seen(line: Line) -> list[str | None]:
    """Return the part ids with a verdict; oldest capture first."""
    return [verdict.part_id for verdict in line.verdicts("s1")]
