"""Fixtures for the services that tests need, and the marker of the tests that `make quick` skips."""

from collections.abc import Sequence

import pytest

pytest_plugins = [  # a plugin comes before those that import it
    "testing.services.kafka",
    "testing.services.postgres",
    "testing.services.pgbouncer",
    "testing.services.rtsp",
    "testing.chromium",
    "testing.command_line",
    "testing.datasets",
    "testing.images",
    "testing.migrated_database",
    "testing.tiny_disk",
    "testing.torch_threads",
]


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests that start our own processes, or that need longer than others may take, as slow."""
    for item in items:
        if item.get_closest_marker("timeout") or "start_andon" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
