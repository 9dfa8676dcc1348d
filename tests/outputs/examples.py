"""A line whose verdicts are delivered, an output that tests control, and messages."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from outputs.delivery import OutputDelivery
from outputs.errors import MessageRejected, OutputUnavailable
from outputs.message import VerdictMessage
from outputs.protocol import Output
from outputs.settings import OutputsSettings
from storage.areas.regions import Region
from storage.database.engine import Database
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.outputs import outputs
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

MESSAGE = VerdictMessage(
    verdict_id=7,
    frame_id=UUID(int=7),
    station="s1",
    part_id="part 7",
    captured_at=datetime(2026, 3, 14, 12, tzinfo=UTC),
    decided_at=datetime(2026, 3, 14, 12, 0, 0, 250_001, tzinfo=UTC),
    decision="flag",
    score=0.75,
    threshold=0.5,
    components={"patch": 0.75},
    detector="nearest-patch",
    model_id="0c5f",
    weights_sha256="b" * 64,
    normal_set_id=3,
    image_reference=f"sha256:{'a' * 64}",
    map_reference=None,
    worker="worker-1",
    review_limit=0.4,
    regions=(Region("lower-left", 0.03, (0.0, 0.7, 0.3, 1.0), ((0.0, 0.7), (0.3, 1.0), (0.0, 1.0))),),
)

AWAY = OutputUnavailable("The receiver is away: switch it on.")


@dataclass
class RecordingOutput:
    """Keeps up to `room` messages; raises `failure` while it is set, and rejects the frames in `rejects`."""

    received: list[UUID] = field(default_factory=list)
    failure: Exception | None = None
    rejects: Collection[UUID] = ()
    room: int = 1000
    closed: bool = False

    def send(self, messages: Sequence[VerdictMessage]) -> None:
        if self.failure is not None:
            raise self.failure
        for message in messages:
            if message.frame_id in self.rejects:
                raise MessageRejected("It is too large for the receiver.")
        if len(self.received) + len(messages) > self.room:
            raise AWAY
        self.received += [message.frame_id for message in messages]

    def close(self) -> None:
        self.closed = True


def add_ready_station(database: Database, name: str) -> NormalSet:
    """Add a station with an active normal set."""
    with database.begin() as session:
        return add_active_set(session, add_station(session, name))


def decide(database: Database, station: NormalSet, frames: Sequence[int]) -> list[UUID]:
    """Record verdicts on frames with these numbers, one per second after noon, in one transaction."""
    made = [
        make_verdict(station, frame_id=UUID(int=number), at=NOON + timedelta(seconds=number % 60)) for number in frames
    ]
    with database.begin() as session:
        verdicts.record(session, made)
    return [verdict.frame_id for verdict in made]


def delivery_to(database: Database, output: Output, name: str = "plc", now: datetime = NOON) -> OutputDelivery:
    """Register an output and return its delivery, which waits 1, 2, then 4 seconds after failures."""
    with database.begin() as session:
        outputs.register(session, name, NOON)
    return OutputDelivery(
        name, output, database, OutputsSettings(retry_backoff_s=1.0, retry_backoff_max_s=4.0), lambda: now
    )


def state_of(database: Database, name: str = "plc") -> outputs.OutputState:
    with database.read() as session:
        return outputs.get(session, name)


class StopAfter:
    """A wait that ends the loop at its `count`-th call, and keeps the seconds that were asked for."""

    def __init__(self, count: int) -> None:
        self.waits_s: list[float] = []
        self._count = count

    def __call__(self, stop: threading.Event, seconds: float) -> bool:
        self.waits_s.append(seconds)
        if len(self.waits_s) == self._count:
            stop.set()
        return stop.is_set()
