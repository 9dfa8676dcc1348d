"""The two lines that fault tests run on: the embedded default, and services as in a plant."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.line import Line, Services
from tests.scorer.worker.faults import ready_line

NO_SERVICE = "embedded bus and SQLite"
SERVICES = "Kafka and PostgreSQL"
BOTH = [
    pytest.param(NO_SERVICE),
    pytest.param(SERVICES, marks=[pytest.mark.kafka, pytest.mark.postgres]),
]


@pytest.fixture(params=BOTH)
def services(request: pytest.FixtureRequest) -> Services:
    if request.param == NO_SERVICE:
        return Services()
    bootstrap, url = request.getfixturevalue("kafka_bootstrap"), request.getfixturevalue("postgres_url")
    return Services(bootstrap, url, f"frames-{uuid.uuid4().hex}")


@pytest.fixture
def line(services: Services, tmp_path: Path) -> Iterator[Line]:
    """A line with the ready station s1."""
    with ready_line(tmp_path, services) as line:
        yield line
