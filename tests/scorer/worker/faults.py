"""Faults for tests: workers that die at a failpoint, services that are out for a minute, a camera that continues."""

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
from testing.claim_checks import RefusingClaimChecks
from testing.line import PATIENCE_S, START, Line, ProgressWaiter, Services, encoded, part, running
from testing.processes import forkserver

A_MINUTE_S = 60.0
DEFAULT_RETRY_SETTINGS = {
    name: ScorerSettings.model_fields[name].default for name in ("retry_backoff_s", "retry_backoff_max_s")
}


@contextmanager
def ready_line(folder: Path, services: Services) -> Iterator[Line]:
    """A line with the ready station s1."""
    with closing(Line(folder, services)) as line:
        line.add_station("s1")
        line.add_normal_set("s1")
        yield line


def start_worker(line: Line, crash_at: str, drain: bool = True) -> BaseProcess:
    """A worker in a process of its own, which kills itself at a step."""
    worker = forkserver.Process(target=_run_worker, args=(line.folder, line.services, crash_at, drain))
    worker.start()
    return worker


def _run_worker(folder: Path, services: Services, crash_at: str, drain: bool) -> None:
    os.environ["ANDON_TEST_FAILPOINT"] = crash_at
    Line(folder, services).worker("dying").run(threading.Event(), drain, progress=lambda _: None)


def was_killed(worker: BaseProcess) -> bool:
    worker.join(150)
    return worker.exitcode == -signal.SIGKILL


def verdict_frame_ids(line: Line, station: str = "s1") -> list[UUID]:
    """Return the ids of frames with a verdict, of this line's topic; oldest capture first."""
    return [verdict.frame_id for verdict in line.verdicts(station) if verdict.topic == line.topic]


def offset_of(verdict: Verdict) -> int:
    return verdict.offset


def frame_ids_in_write_order(line: Line, station: str = "s1") -> list[UUID]:
    verdicts = sorted(line.verdicts(station), key=lambda verdict: (verdict.decided_at, verdict.offset))
    return [verdict.frame_id for verdict in verdicts]


@contextmanager
def worker_waiting_for(line: Line, service: str) -> Iterator[tuple[ProgressWaiter, Callable[..., str]]]:
    """Run a worker; yield its progress, and a function that waits until the worker has waited for a service.

    The worker waits for a minute by its own count. The function returns the worker's reason; a function passed as
    `meanwhile` is called repeatedly until then.
    """
    reported = threading.Event()
    waited_s = 0.0
    reasons: list[str] = []

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        nonlocal waited_s
        waited_s += seconds
        if waited_s >= A_MINUTE_S and not reasons:
            reasons.extend(worker.health())
            reported.set()
        return stop.wait(min(seconds, 0.01))

    line.settings = line.settings.model_copy(update=DEFAULT_RETRY_SETTINGS)
    worker = line.worker(wait_for=wait_for)

    def wait_until_reported(meanwhile: Callable[[], object] = lambda: None) -> str:
        deadline_s = time.monotonic() + PATIENCE_S
        while not reported.wait(0.1):
            assert time.monotonic() < deadline_s
            meanwhile()
        (reason,) = reasons
        assert reason.startswith(f"Waiting for the {service}")
        return reason

    with running(worker) as progress:
        yield progress, wait_until_reported


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Move a SQLite file away for the block, in one step each way, so that no process creates an empty one between."""
    hidden = path.parent / "hidden"
    hidden.mkdir()
    for name in path.parent.glob(f"{path.name}*"):
        os.link(name, hidden / name.name)
    _replace_by_link(path, hidden)
    for name in path.parent.glob(f"{path.name}-*"):
        name.unlink()
    yield
    _replace_by_link(path, hidden / path.name)


def _replace_by_link(path: Path, to: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(to)
    link.replace(path)


@contextmanager
def running_camera(line: Line) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that sends frames, numbered from the first, by a producer with a spool; all become durable."""
    durable: set[str | None] = set()
    sent: set[str] = set()
    spool = Spool(line.folder / "spool", 100_000_000)
    producer = Producer(
        line.bus.publisher(line.topic), line.ingest, spool, RefusingClaimChecks(), lambda: START + timedelta(hours=1)
    )

    def send(first: int, count: int) -> None:
        for number in range(first, first + count):
            at = START + timedelta(seconds=number)
            frame = Frame("s1", at, encoded(part(number)), "image/png", part_id=str(number))
            producer.send(frame, lambda frame: durable.add(frame.part_id))
            sent.add(str(number))

    with closing(producer):
        yield send
    assert durable == sent


def verdict_part_ids(line: Line) -> list[str | None]:
    """Return the part ids with a verdict; oldest capture first."""
    return [verdict.part_id for verdict in line.verdicts("s1")]
