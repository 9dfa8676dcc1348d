"""The producer gets every frame to the bus, in order per station, whatever the bus does meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from ingest import schema
from ingest.errors import BusUnavailable
from ingest.frame import Frame
from ingest.settings import IngestSettings
from testing.waiting import wait_until
from tests.ingest.producer.producer_harness import (
    AT,
    OpenHarness,
    ProducerHarness,
    part_ids,
    published_frames,
)


def test_frames_are_durable_once_they_are_on_the_bus(open_harness: OpenHarness) -> None:
    harness = open_harness()
    before = published_frames("plain")
    harness.send(*part_ids("plain", *range(20)))
    harness.producer.flush(10)
    assert harness.published_part_ids("plain") == harness.durable_part_ids() == part_ids("plain", *range(20))
    assert published_frames("plain") - before == 20
    assert harness.producer.health() == []


def test_the_id_that_send_returns_is_the_one_on_the_bus(open_harness: OpenHarness) -> None:
    harness = open_harness()
    frame = Frame("s1", AT, b"image", "image/png", identity="a.png")
    ids = {harness.producer.send(frame, harness.durable.append) for _ in range(2)}
    harness.producer.flush(10)
    assert {schema.decode(record).frame_id for record in harness.records()} == ids
    assert len(ids) == 1


def test_frames_are_spooled_while_the_bus_is_unavailable(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.gate.failing = True
    harness.send(*part_ids("s1", *range(5)))
    wait_until(lambda: len(harness.durable) == 5)
    assert harness.published_part_ids("s1") == []
    assert any("the gate fails messages" in reason for reason in harness.producer.health())
    assert "5 frames wait in the spool" in harness.producer.health()
    assert REGISTRY.get_sample_value("andon_spool_frames") == 5


def test_the_spool_is_drained_in_order_and_before_newer_frames(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.send(*part_ids("s1", 0, 1), *part_ids("s2", 0))
    harness.producer.flush(10)
    harness.gate.failing = True
    harness.send(*part_ids("s1", 2, 3), *part_ids("s2", 1, 2), *part_ids("s1", 4))
    wait_until(lambda: len(harness.durable) == 8)
    harness.gate.failing = False
    harness.send(*part_ids("s1", 5, 6), *part_ids("s2", 3))
    harness.producer.flush(10)
    wait_until(lambda: harness.spool.frames == 0)
    assert harness.published_part_ids("s1") == part_ids("s1", *range(7))
    assert harness.published_part_ids("s2") == part_ids("s2", *range(4))
    assert harness.producer.health() == []


def test_in_flight_frames_that_fail_are_not_overtaken(open_harness: OpenHarness) -> None:
    """The bus hangs with the first frame of each station; they fail late, with later ones queued behind them."""
    harness = open_harness()
    harness.gate.holding = True
    harness.send(*part_ids("s1", 0, 1, 2), *part_ids("s2", 0, 1))
    wait_until(lambda: len(harness.gate.held) == 2)
    harness.gate.fail_held()
    wait_until(lambda: len(harness.durable) == 5)
    harness.gate.failing = False
    harness.send(*part_ids("s1", 3))
    wait_until(lambda: harness.spool.frames == 0 and len(harness.durable) == 6)
    harness.producer.flush(10)
    assert harness.published_part_ids("s1") == part_ids("s1", 0, 1, 2, 3)
    assert harness.published_part_ids("s2") == part_ids("s2", 0, 1)


def test_a_new_producer_drains_the_spool_of_the_last_one(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.gate.failing = True
    harness.send(*part_ids("s1", 0, 1, 2))
    wait_until(lambda: len(harness.durable) == 3)
    harness.producer.close()
    harness.start()
    harness.send(*part_ids("s1", 3))
    harness.producer.flush(10)
    assert harness.published_part_ids("s1") == part_ids("s1", 0, 1, 2, 3)


def test_an_image_above_the_inline_limit_is_published_as_a_reference(open_harness: OpenHarness) -> None:
    harness = open_harness(max_inline_image_bytes=1000)
    harness.send("s1-0", size_bytes=1000)
    harness.send("s1-1", size_bytes=1001)
    harness.producer.flush(10)
    small, large = [schema.decode(record) for record in harness.records()]
    assert small.image is not None
    assert (large.image, large.image_reference) == (None, "sha256:0")
    assert harness.claim_checks.stored["sha256:0"] == b"s1-1".ljust(1001, b".")


def test_a_large_image_is_spooled_while_the_image_store_is_unavailable(open_harness: OpenHarness) -> None:
    harness = open_harness(max_inline_image_bytes=1000)
    harness.claim_checks.unavailable = True
    harness.send("s1-0", size_bytes=2000)
    harness.send("s1-1")
    wait_until(lambda: len(harness.durable) == 2)
    assert any("the store is unavailable" in reason for reason in harness.producer.health())
    harness.claim_checks.unavailable = False
    harness.producer.flush(10)
    wait_until(lambda: harness.spool.frames == 0)
    assert harness.published_part_ids("s1") == part_ids("s1", 0, 1)


def test_a_bus_with_a_lower_limit_receives_a_reference(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.gate.max_message_bytes = 2000
    harness.send("s1-0", size_bytes=5000)
    harness.send("s1-1")
    harness.producer.flush(10)
    assert [schema.decode(record).image_reference for record in harness.records()] == ["sha256:0", None]


def test_without_a_spool_frames_wait_in_memory(open_harness: OpenHarness) -> None:
    harness = open_harness(max_spool_bytes=0)
    harness.gate.failing = True
    harness.send(*part_ids("s1", *range(5)))
    with pytest.raises(BusUnavailable, match="5 frames"):
        harness.producer.flush(0.1)
    harness.gate.failing = False
    harness.producer.flush(10)
    assert harness.published_part_ids("s1") == part_ids("s1", *range(5))


def test_closing_publishes_everything_while_the_bus_is_available(open_harness: OpenHarness) -> None:
    harness = open_harness()
    harness.send(*part_ids("s1", *range(30)))
    harness.producer.close()
    harness.producer.close()
    assert harness.published_part_ids("s1") == part_ids("s1", *range(30))
    with pytest.raises(BusUnavailable):
        harness.send("s1-30")


def test_a_failing_durable_callback_stops_the_producer(open_harness: OpenHarness) -> None:
    harness = open_harness()

    def raise_os_error(frame: Frame) -> None:
        raise OSError("no space for the source's memory")

    harness.producer.send(Frame("s1", AT, b"i", "image/png"), raise_os_error)
    with pytest.raises(BusUnavailable, match="no space for the source's memory"):
        harness.producer.flush(10)
    with pytest.raises(BusUnavailable, match="no space for the source's memory"):
        harness.send("s1-1")
    assert harness.producer.health() == ["the producer has stopped: no space for the source's memory"]


def test_a_killed_producer_loses_no_durable_frame(open_harness: OpenHarness, tmp_path: Path) -> None:
    """The child's bus is available on and off; the child is killed; bus and spool together hold all durable frames."""
    program = f"""
import itertools
from pathlib import Path
from ingest import producer as producer_module
from ingest.frame import Frame
from ingest.settings import IngestSettings
from ingest.producer.spool import Spool
from ingest.bus.embedded.bus import EmbeddedBus
from ingest.producer.producer import Producer
from tests.ingest.producer.producer_harness import GatedPublisher, MemoryClaimChecks, AT
producer_module._MAX_RETRY_S = 0.05
folder = Path({str(tmp_path)!r})
settings = IngestSettings(embedded_path=folder / "bus.sqlite", spool_path=folder / "spool")
gate = GatedPublisher(EmbeddedBus(settings).publisher("t"))
producer = Producer(gate, settings, Spool(settings.spool_path, settings.max_spool_bytes), MemoryClaimChecks())
for number in itertools.count():
    gate.failing = number % 40 < 20
    producer.send(
        Frame("killed", AT, b"%50000d" % number, "image/png", part_id=f"killed-{{number}}"),
        lambda frame: print(frame.part_id, flush=True),
    )
"""
    durable = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for printed in child.stdout:
            if printed.startswith("killed-"):
                durable.append(printed.strip())
            if len(durable) == 100:
                os.kill(child.pid, signal.SIGKILL)
    harness = open_harness()
    harness.producer.flush(30)
    wait_until(lambda: harness.spool.frames == 0)
    received = harness.published_part_ids("killed")
    assert durable == part_ids("killed", *range(len(durable)))
    assert received[: len(durable)] == durable
    assert received == part_ids("killed", *range(len(received)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["s1", "s2", "s3", "shut", "open", "hang", "fail", "restart"]), max_size=40))
def test_no_frame_is_lost_or_reordered_whatever_the_bus_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("line")
    harness = ProducerHarness(path, IngestSettings(embedded_path=path / "bus.sqlite", spool_path=path / "spool"))
    sent: dict[str, list[str]] = {"s1": [], "s2": [], "s3": []}
    for step in steps:
        if step in sent:
            sent[step].append(f"{step}-{len(sent[step])}")
            harness.send(sent[step][-1])
        elif step in ("shut", "open"):
            harness.gate.failing = step == "shut"
        elif step == "hang":
            harness.gate.holding = True
        else:
            harness.gate.fail_held()
            if step == "restart":
                harness.producer.close()
                harness.start()
    harness.gate.fail_held()
    harness.gate.failing = False
    wait_until(lambda: len(harness.durable) == sum(map(len, sent.values())) and harness.spool.frames == 0)
    harness.producer.close()
    assert {station: harness.published_part_ids(station) for station in sent} == sent
