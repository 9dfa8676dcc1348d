"""N frames in, exactly N verdicts or dead letters out, whatever dies, on both buses and both databases.

Faults come through real parts: processes are killed, servers stopped, disks filled. docs/delivery.md lists them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ingest.frame import Frame
from ingest.producer import Producer
from ingest.spool import Spool
from scorer.detectors import registry
from scorer.kill_points import STEPS
from tests.parts.kafka import KafkaCluster, start_kafka
from tests.parts.postgres import PostgresServer
from tests.scorer.line import PATIENCE_S, START, Line, Services, encoded, part, settings, working

pytestmark = pytest.mark.usefixtures("one_thread")

HOUR = timedelta(hours=1)
STATIONS_ON_ALL_PARTITIONS = 12

NO_SERVICE = "embedded bus and SQLite"
SERVICES = "Kafka and PostgreSQL"
BOTH = [
    pytest.param(NO_SERVICE),
    pytest.param(SERVICES, marks=[pytest.mark.kafka, pytest.mark.postgres]),
]


@pytest.fixture(params=BOTH)
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    services = Services()
    if request.param == SERVICES:
        bootstrap, url = request.getfixturevalue("kafka_bootstrap"), request.getfixturevalue("postgres_url")
        services = Services(bootstrap, url, f"frames-{uuid.uuid4().hex}")
    with ready(tmp_path, services) as made:
        yield made


@contextmanager
def ready(folder: Path, services: Services) -> Iterator[Line]:
    """A line with the ready station s1."""
    with closing(Line(folder, services)) as line:
        line.station("s1")
        line.normals("s1")
        yield line


WORKER = """
import json, sys, threading
from pathlib import Path
from tests.scorer.line import Line, Services
line = Line(Path(sys.argv[1]), Services(**json.loads(sys.argv[2])))
line.worker("dying").run(threading.Event(), drain=sys.argv[3] == "drain", progress=lambda _: None)
"""


def start_worker(line: Line, kill_at: str, drain: bool = True) -> subprocess.Popen[str]:
    """A worker in a process of its own, which kills itself at a step."""
    environment = os.environ | {"ANDON_TEST_KILL_AT": kill_at, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(line.folder), json.dumps(asdict(line.services))]
    command.append("drain" if drain else "go on")
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def was_killed(worker: subprocess.Popen[str]) -> bool:
    _, said = worker.communicate(timeout=150)
    assert worker.returncode == -signal.SIGKILL, said
    return True


def ids(line: Line, station: str = "s1") -> list[UUID]:
    return [verdict.frame_id for verdict in line.verdicts(station)]


def in_order_of_writing(line: Line, station: str = "s1") -> list[UUID]:
    made = sorted(line.verdicts(station), key=lambda verdict: (verdict.decided_at, verdict.offset))
    return [verdict.frame_id for verdict in made]


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_loses_and_doubles_nothing(line: Line, step: str) -> None:
    line.station("s2")  # has no normals yet
    sent, waiting = line.frames("s1", 20), line.frames("s2", 2)
    line.frames("s9", 2)
    assert was_killed(start_worker(line, kill_at=f"{step}:2"))
    line.drain()
    assert ids(line) == sent
    assert [letter.reason for letter in line.letters()] == ["unknown-station"] * 2
    assert line.parked() == len(waiting)


@pytest.mark.parametrize("step", ["scored", "written"])
def test_of_two_workers_one_is_killed_mid_batch_and_the_other_does_its_share(line: Line, step: str) -> None:
    stations = [f"s{number}" for number in range(1, STATIONS_ON_ALL_PARTITIONS + 1)]
    for name in stations[1:]:
        line.station(name)
        line.normals(name)
    sent: dict[str, list[UUID]] = {name: [] for name in stations}
    dying = start_worker(line, kill_at=step, drain=False)
    made = 0
    with closing(Line(line.folder, line.services)) as other, working(other.worker("w2")) as counted:
        while dying.poll() is None:  # until some of the partitions are the dying worker's
            for station, published in sent.items():
                published += line.frames(station, 1)
            made = counted.latest.verdicts
            counted.wait_for(lambda done, before=made: done.verdicts > before or dying.poll() is not None)
        assert was_killed(dying)
    line.drain()
    for station, wanted in sent.items():
        assert ids(line, station) == wanted


def test_a_frame_whose_scoring_raises_and_poison_in_between_cost_only_themselves(line: Line) -> None:
    """Of 200 frames 2 are no images, and 1 breaks the model."""

    class Fragile:
        def __init__(self, detector: object) -> None:
            self._detector = detector

        def __getattr__(self, name: str) -> object:
            return getattr(self._detector, name)

        def encode(self, framed):  # type: ignore[no-untyped-def]
            if any(one.height == 72 for one in framed):
                raise RuntimeError("out of luck")
            return self._detector.encode(framed)

    def image(number: int) -> bytes:
        if number % 100 == 50:
            return b"poison"
        return encoded(part(number % 20, size=(72, 72) if number == 77 else (64, 64)))

    line.settings = settings(line.folder, batch_frames=32)
    sent = line.publish("s1", [image(number) for number in range(200)])
    line.drain(load=lambda *wanted: Fragile(registry.load(*wanted)))
    lost = {50, 77, 150}
    assert ids(line) == [frame_id for number, frame_id in enumerate(sent) if number not in lost]
    assert sorted(letter.reason for letter in line.letters()) == ["not-an-image", "not-an-image", "scoring-failed"]


def test_a_clock_that_jumps_back_an_hour_changes_no_count_and_no_order(line: Line) -> None:
    told: list[datetime] = []

    def clock() -> datetime:
        told.append(START + timedelta(milliseconds=len(told)) - (HOUR if len(told) > 40 else timedelta()))
        return told[-1]

    before, after = line.frames("s1", 20), []
    with working(line.worker(clock=clock)) as counted:
        counted.wait_for(lambda done: done.verdicts == 20)
        line.published -= 3600  # cameras share the clock
        after = line.frames("s1", 20)
        counted.wait_for(lambda done: done.verdicts == 40)
    made = sorted(line.verdicts("s1"), key=lambda verdict: verdict.offset)
    assert [verdict.frame_id for verdict in made] == before + after
    assert min(told) < START - HOUR / 2


def test_a_normal_set_switched_under_load_never_mixes(line: Line) -> None:
    second = line.normals("s1", first=2000, activate=False)
    with working(line.worker()) as counted:
        sent = line.frames("s1", 40)
        counted.wait_for(lambda done: done.verdicts >= 8)
        line.activate(second)
        sent += line.frames("s1", 40)
        counted.wait_for(lambda done: done.verdicts == 80)
    made = sorted(line.verdicts("s1"), key=lambda verdict: verdict.offset)
    assert [verdict.frame_id for verdict in made] == sent
    used = [verdict.normal_set_id for verdict in made]
    assert used == sorted(used)
    assert used[-1] == second.id
    assert len({(verdict.normal_set_id, verdict.threshold) for verdict in made}) == 2
    scores = {(verdict.normal_set_id, verdict.image_reference): verdict.score for verdict in made}
    again = {(v.normal_set_id, v.image_reference): v.score for v in reversed(made)}
    assert {key: pytest.approx(score, abs=1e-5) for key, score in scores.items()} == again


@contextmanager
def noticed(line: Line, word: str) -> Iterator[tuple[object, Callable[[], None]]]:
    """A running worker, and a way to wait until it says that it waits for `word`."""
    waiting = threading.Event()

    def wait_for(stop: threading.Event, seconds: float) -> bool:
        waiting.set()
        return stop.wait(seconds)

    worker = line.worker(wait_for=wait_for)

    def until_it_waits() -> None:
        assert waiting.wait(PATIENCE_S)
        assert f"Waiting for the {word}" in worker.health()[0]

    with working(worker) as counted:
        yield counted, until_it_waits


@pytest.mark.kafka
@pytest.mark.postgres
def test_postgres_stopped_under_load_is_waited_for(
    tmp_path: Path, kafka_bootstrap: str, postgres_server: PostgresServer, postgres_url: str
) -> None:
    services = Services(kafka_bootstrap, postgres_url, f"frames-{uuid.uuid4().hex}")
    with ready(tmp_path, services) as line, noticed(line, "database") as (counted, until_it_waits):
        sent = line.frames("s1", 20)
        counted.wait_for(lambda done: done.verdicts >= 8)
        postgres_server.stop()
        try:
            sent += line.frames("s1", 20)
            until_it_waits()
        finally:
            postgres_server.start()
        counted.wait_for(lambda done: done.verdicts == 40)
        assert ids(line) == sent
        assert in_order_of_writing(line) == sent


def test_a_full_disk_under_the_database_is_waited_for(tmp_path: Path, tiny_disk: Path) -> None:
    url = f"sqlite:///{tiny_disk / 'andon.sqlite'}"
    ballast = tiny_disk / "ballast"
    with ready(tmp_path, Services(database_url=url)) as line, noticed(line, "database") as (counted, until_it_waits):
        sent = line.frames("s1", 10)
        counted.wait_for(lambda done: done.verdicts == 10)
        fill(ballast)
        sent += line.frames("s1", 10)
        until_it_waits()
        ballast.unlink()
        counted.wait_for(lambda done: done.verdicts == 20)
        assert ids(line) == sent


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


class NoClaimChecks:
    def put(self, data: bytes) -> str:
        raise AssertionError("nothing here is that large")


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    """One that may be killed."""
    cluster = start_kafka(tmp_path / "kafka", nodes=1, heap="384m")
    yield cluster
    cluster.stop()


@pytest.mark.kafka
def test_kafka_killed_while_producing_and_consuming_loses_nothing(tmp_path: Path, own_kafka: KafkaCluster) -> None:
    with ready(tmp_path, Services(kafka=own_kafka.bootstrap)) as line:
        killed_while_producing_and_consuming(line, own_kafka)


def killed_while_producing_and_consuming(line: Line, kafka: KafkaCluster) -> None:
    with camera(line) as send, noticed(line, "bus") as (counted, until_it_waits):
        send(0, 20)
        counted.wait_for(lambda done: done.verdicts == 20)
        kafka.nodes[0].kill()
        send(20, 20)
        until_it_waits()
        kafka.start()
        send(40, 20)
        counted.wait_for(lambda done: done.verdicts == 60)
    assert parts_seen(line) == [str(number) for number in range(60)]


@contextmanager
def camera(line: Line) -> Iterator[Callable[[int, int], None]]:
    """The product's own producer with its spool: send so many frames, numbered from the first; all become durable."""
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
    return [verdict.part_id for verdict in line.verdicts("s1")]
