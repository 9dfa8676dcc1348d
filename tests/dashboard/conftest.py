from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.seeding import Scene, SeededStorage, photograph


@pytest.fixture
def line(tmp_path: Path) -> SeededStorage:
    """An empty, migrated database and an empty image store."""
    return SeededStorage.new(tmp_path / "line")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def s1(line: SeededStorage, now: datetime) -> Station:
    return line.station("s1", now - timedelta(days=2), object_name="coin")


@pytest.fixture
def coins() -> Scene:
    return Scene(photograph("coins"), (160, 120))


@pytest.fixture
def normal_set(line: SeededStorage, s1: Station, coins: Scene, now: datetime) -> NormalSet:
    """Three good parts, active, threshold 0.41."""
    chance = np.random.default_rng(1)
    return line.normals(s1, [coins.frame(chance) for _ in range(3)], now - timedelta(days=1))
