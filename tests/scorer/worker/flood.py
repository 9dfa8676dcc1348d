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
from ingest.producer import producer as producer_module
from ingest.producer.producer import Producer
from ingest.producer.spool import Spool
from storage.settings import StorageSettings
from testing.claim_checks import RefusingClaimChecks
from testing.line import START, Line, Services, encoded, part, running
from tests.scorer.worker.faults import ready_line
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


class FloodPace:
    """Lets the scorer score one frame for ten that were sent, and more while the camera is blocked or done."""

    def __init__(self, is_blocked: Callable[[], bool]) -> None:
        self.is_blocked = is_blocked
        self.was_blocked = False
        self._sent = 0
        self._scored = 0
        self._finished = False
        self._changed = threading.Condition()

    def sent(self) -> None:
        with self._changed:
            self._sent += 1
            self._changed.notify_all()

    def finish(self) -> None:
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def score(self, frames: int) -> None:
        with self._changed:
            self._scored += frames
            while self._scored * TIMES_THE_SCORER > self._sent and not self._finished:
                if self.is_blocked():
                    self.was_blocked = True
                    return
                self._changed.wait(0.01)  # blocking is not signalled, so it is polled


def main(folder: Path, services: Services, policy: str) -> dict[str, object]:
    torch.set_num_threads(1)
    producer_module._FIRST_RETRY_S, producer_module._MAX_RETRY_S = 0.01, 0.05
    publisher._SWEEP_INTERVAL_S = 0.05
    with ready_line(folder, services) as line:
        line.ingest = line.ingest.model_copy(update={**BOUNDS, "when_spool_full": policy})
        line.bus.close()
        line.bus = open_bus(line.ingest)
        line.settings = line.settings.model_copy(update={"model_batch_frames": 4})
        line.publish_parts("s1", WARM_UP_FRAMES)
        line.drain()
        settings = Settings(ingest=line.ingest, storage=StorageSettings(database_url=line.database_url))
        with report_drops(settings, "s1", lambda: START, interval_s=0.05):
            return flood(line)


def flood(line: Line) -> dict[str, object]:
    """Let the camera overrun the scorer; return whether it was blocked, and memory before, when full and at peak."""
    spool = Spool(line.folder / "spool", line.ingest.max_spool_bytes)
    producer = Producer(
        line.bus.publisher(line.topic), line.ingest, spool, RefusingClaimChecks(), lambda: START + timedelta(hours=1)
    )
    pace = FloodPace(is_blocked=lambda: producer._buffer.senders_waiting > 0)
    images = [uncompressed_image(number) for number in range(20)]
    before = memory_bytes("VmRSS")
    with running(line.worker(load=load_hooked(lambda framed: pace.score(len(framed))))), closing(producer):
        for number in range(FRAMES):
            at = START + timedelta(seconds=1000 + number / CAMERA_FPS)
            template = b"poison" if number % POISON_ONE_IN == 20 else images[number % len(images)]
            image = bytes(memoryview(template))  # memory of its own, as a camera's
            producer.send(Frame("s1", at, image, "image/png"), lambda _: None)
            pace.sent()
            if number == FULL_AFTER:
                full = memory_bytes("VmHWM")
        pace.finish()
        producer.flush(120)
        wait_until_healthy(producer)
    line.drain()
    peak = memory_bytes("VmHWM")
    return {"was_blocked": pace.was_blocked, "before_bytes": before, "full_bytes": full, "peak_bytes": peak}


def wait_until_healthy(producer: Producer) -> None:
    waiting = threading.Event()
    while producer.health():
        waiting.wait(0.01)


def uncompressed_image(number: int) -> bytes:
    """A part as a PNG that is not compressed."""
    return encoded(part(number, size=(PIXELS, PIXELS)), compress_level=0)


def memory_bytes(name: str) -> int:
    """Return this process's memory in bytes, by /proc/self/status."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    result = main(Path(arguments["folder"]), Services(**arguments["services"]), arguments["policy"])
    sys.stdout.write(json.dumps(result) + "\n")
