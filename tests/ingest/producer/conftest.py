"""Producers that retry soon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.producer import producer as producer_module
from ingest.settings import IngestSettings
from tests.ingest.producer.producer_harness import OpenHarness, ProducerHarness


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(producer_module, "_MAX_RETRY_S", 0.02)
    monkeypatch.setattr(producer_module, "_CLOSE_TIMEOUT_S", 5.0)


@pytest.fixture
def open_harness(tmp_path: Path) -> Iterator[OpenHarness]:
    lines: list[ProducerHarness] = []

    def open_harness(**changed: object) -> ProducerHarness:
        given = {"embedded_path": tmp_path / "bus.sqlite", "spool_path": tmp_path / "spool"} | changed
        lines.append(ProducerHarness(tmp_path, IngestSettings.model_validate(given)))
        return lines[-1]

    yield open_harness
    for harness in lines:
        harness.producer.close()
