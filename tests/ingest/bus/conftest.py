"""The buses of the contract: the embedded one and a real Kafka."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.bus.protocol import Bus
from ingest.bus.registry import open_bus
from ingest.settings import IngestSettings
from tests.ingest.bus.bus_calls import OpenBus


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def open_bus_again(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBus:
    """Opens the same bus any number of times, each time as another process would."""
    if request.param == "embedded":
        settings = IngestSettings(embedded_path=tmp_path / "bus.sqlite", partitions=6)
    else:
        bootstrap = request.getfixturevalue("kafka_bootstrap")
        settings = IngestSettings(bus="kafka", kafka_bootstrap_servers=bootstrap, partitions=6)
    return lambda: open_bus(settings)


@pytest.fixture
def bus(open_bus_again: OpenBus) -> Iterator[Bus]:
    with closing(open_bus_again()) as bus:
        yield bus


@pytest.fixture
def topic(bus: Bus) -> str:
    name = f"frames-{uuid.uuid4().hex}"
    bus.ensure_topic(name, 6)
    return name
