"""A flood in a process of its own, whose memory can be measured: ten frames arrive for each one scored.

python -m tests.scorer.worker.flood '{"folder": …, "services": {…}, "policy": "wait"}' prints its result as JSON.

The flood is two minutes long; the camera takes three frames per second and the scorer scores three in ten. No time
passes for it: the scorer scores its next frame once the camera has sent ten more, or is blocked. When the two minutes
are over it runs as fast as it can.
"""

import json
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import torch

from andon.services.drop_reporter import report_drops
from andon.settings import Settings
from ingest.bus.embedded import publisher
from ingest.bus.registry import open_bus
from ingest.frame import Frame
from ingest.producer import producer as producing
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from storage.settings import StorageSettings
from testing.line import START, Line, Services, encoded, part, running
from tests.scorer.worker.faults import NoClaimChecks, ready
from tests.scorer.worker.hooked_detector import load_hooked

CAMERA_FPS, TIMES_THE_SCORER = 3, 10
FRAMES = CAMERA_FPS * 120
FULL_AFTER = 60  # frames: then bus, spool and memory are as full as they get
PIXELS = 447
FRAME_BYTES = 3 * PIXELS**2  # of an image that is not compressed
POISON_ONE_IN = 40
WARM_UP_FRAMES = 20
BOUNDS = {  # together an eighth of the flood
    "embedded_max_bytes": 16_000_000,
    "embedded_retention_s": 0,
    "max_spool_bytes": 8_000_000,
    "max_memory_bytes": 4_000_000,
}


class Pace:
    """Lets the scorer score one frame for ten that were sent, and more while the camera is blocked or done."""

    def __init__(self, held: Callable[[], bool]) -> None:
        self.held = held
        self.was_held = False
        self._sent = 0
        self._scored = 0
        self._over = False
        self._changed = threading.Condition()

    def sent(self) -> None:
        with self._changed:
            self._sent += 1
            self._changed.notify_all()

    def over(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def score(self, frames: int) -> None:
        with self._changed:
            self._scored += frames
            while self._scored * TIMES_THE_SCORER > self._sent and not self._over:
                if self.held():
                    self.was_held = True
                    return
                self._changed.wait(0.01)  # blocking is not signalled, so it is polled


def main(folder: Path, services: Services, policy: str) -> dict[str, object]:
    torch.set_num_threads(1)
    producing._FIRST_RETRY_S, producing._MAX_RETRY_S = 0.01, 0.05
    publisher._SWEEP_INTERVAL_S = 0.05
    with ready(folder, services) as line:
        line.ingest = line.ingest.model_copy(update={**BOUNDS, "when_spool_full": policy})
        line.bus.close()
        line.bus = open_bus(line.ingest)
        line.settings = line.settings.model_copy(update={"model_batch_frames": 4})
        line.frames("s1", WARM_UP_FRAMES)
        line.drain()
        settings = Settings(ingest=line.ingest, storage=StorageSettings(database_url=line.database_url))
        with report_drops(settings, "s1", lambda: START, interval_s=0.05):
            return flood(line)


def flood(line: Line) -> dict[str, object]:
    """Let the camera overrun the scorer; return whether it was blocked, and memory before, when full and at peak."""
    spool = Spool(line.folder / "spool", line.ingest.max_spool_bytes)
    producer = Producer(line.bus.publisher(line.topic), line.ingest, spool, NoClaimChecks(), lambda: START)
    pace = Pace(held=lambda: producer._buffer.senders_waiting > 0)
    pictures = [unpacked(number) for number in range(20)]
    before = memory("VmRSS")
    with running(line.worker(load=load_hooked(lambda framed: pace.score(len(framed))))), closing(producer):
        for number in range(FRAMES):
            at = START + timedelta(seconds=1000 + number / CAMERA_FPS)
            picture = b"poison" if number % POISON_ONE_IN == 20 else pictures[number % len(pictures)]
            image = bytes(memoryview(picture))  # memory of its own, as a camera's
            producer.send(Frame("s1", at, image, "image/png"), lambda _: None)
            pace.sent()
            if number == FULL_AFTER:
                full = memory("VmHWM")
        pace.over()
        producer.flush(120)
        until_empty(producer)
    line.drain()
    peak = memory("VmHWM")
    return {"was_held": pace.was_held, "before_bytes": before, "full_bytes": full, "peak_bytes": peak}


def until_empty(producer: Producer) -> None:
    waiting = threading.Event()
    while producer.health():
        waiting.wait(0.01)


def unpacked(number: int) -> bytes:
    """A part as a PNG that is not compressed."""
    return encoded(part(number, size=(PIXELS, PIXELS)), compress_level=0)


def memory(name: str) -> int:
    """Return this process's memory in bytes, by /proc/self/status."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    came_to = main(Path(given["folder"]), Services(**given["services"]), given["policy"])
    sys.stdout.write(json.dumps(came_to) + "\n")
