from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from dashboard.app.settings import DashboardSettings
from storage.blobs.anomaly_maps import encode_map
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from testing.chromium import running_dashboard
from tests.dashboard.review.review_in_browser import FRAMES
from tests.dashboard.seeding import Scene, SeededStorage, jpeg, verdict


@pytest.fixture
def queue(line: SeededStorage, s1: Station, normal_set: NormalSet, coins: Scene, now: datetime) -> list[float]:
    """24 flagged frames, newest first scores 0.50, 0.51, …; their scores."""
    chance = np.random.default_rng(5)
    heat = line.images.put(encode_map(np.eye(12, 16, dtype=np.float32)))
    line.verdicts(
        *(
            verdict(
                line,
                s1,
                normal_set,
                number,
                now - timedelta(minutes=number + 1),
                0.5 + number / 100,
                image_reference=line.images.put(jpeg(coins.frame(chance))),
                map_reference=heat,
                part_id=f"P-{number}",
            )
            for number in range(FRAMES)
        )
    )
    return [0.5 + number / 100 for number in range(FRAMES)]


@pytest.fixture
def address(line: SeededStorage, queue: list[float]) -> Iterator[str]:
    with running_dashboard(line.database_url, line.images_url, DashboardSettings()) as at:
        yield at
