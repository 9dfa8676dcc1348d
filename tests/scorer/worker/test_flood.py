"""Ten times the frames that the scorer can score, for two minutes: memory is bounded, and no frame is uncounted."""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from dashboard import formatting
from storage.line import drops
from testing.line import START, Line, Services
from tests.dashboard.page_harness import opened, text
from tests.dashboard.seeding import SeededStorage
from tests.scorer.worker.flood import FRAME_BYTES, FRAMES, FULL_AFTER, POISON_ONE_IN, WARM_UP_FRAMES

MEMORY_BYTES = 160_000_000  # of the line at its peak over an idle one: bounds, read-ahead, caches, batches
MORE_WHEN_FULL_BYTES = 100_000_000  # more than that, at most, during the rest of the flood
assert 0.9 * (FRAMES - FULL_AFTER) * FRAME_BYTES > 1.5 * MORE_WHEN_FULL_BYTES  # which would be in memory otherwise


def flooded(folder: Path, services: Services, policy: str) -> dict[str, int]:
    given = json.dumps({"folder": str(folder), "services": asdict(services), "policy": policy})
    process = subprocess.run(
        [sys.executable, "-m", "tests.scorer.worker.flood", given],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},  # or each thread retains freed memory
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr + process.stdout
    came_to: dict[str, int] = json.loads(process.stdout.splitlines()[-1])
    assert came_to["peak_bytes"] - came_to["before_bytes"] < MEMORY_BYTES, came_to
    assert came_to["peak_bytes"] - came_to["full_bytes"] < MORE_WHEN_FULL_BYTES, came_to
    return came_to


def test_a_flood_that_is_waited_for_loses_nothing(tmp_path: Path, services: Services) -> None:
    """A Kafka stores all frames; the embedded bus and the spool are bounded, and the camera is blocked."""
    came_to = flooded(tmp_path, services, "wait")
    assert came_to["was_held"] or services.kafka
    with closing(Line(tmp_path, services)) as line:
        assert len(line.letters()) == FRAMES // POISON_ONE_IN
        assert len(line.verdicts("s1")) == WARM_UP_FRAMES + FRAMES - FRAMES // POISON_ONE_IN
        with line.database.read() as session:
            assert drops.totals_since(session, START) == {}


def test_a_flood_whose_oldest_frames_are_dropped_counts_each_and_says_so_on_the_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooded(tmp_path, Services(), "drop_oldest")
    with closing(Line(tmp_path, Services())) as line:
        with line.database.read() as session:
            lost = drops.totals_since(session, START)["s1"]
        assert len(line.verdicts("s1")) - WARM_UP_FRAMES + len(line.letters()) + lost.frames == FRAMES
        assert lost.frames > FRAMES / 4
        monkeypatch.setattr("dashboard.context.now", lambda: START + timedelta(hours=2))
        said = text(
            opened(SeededStorage(line.database_url, str(tmp_path / "images"), line.database, line.images), monkeypatch)
        )
        assert f"{formatting.plural(lost.frames, 'frame')} dropped since 03:04:05" in said
