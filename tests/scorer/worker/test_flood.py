"""Ten times the frames that the scorer can do, for two minutes: memory is bounded, and every frame is accounted for."""

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
from tests.dashboard.seeding import Line as StoredLine
from tests.scorer.worker.flood import FRAME_BYTES, FRAMES, FULL_AFTER, POISON_ONE_IN, WARM_UP_FRAMES

MEMORY_BYTES = 160_000_000  # what the line takes beside an idle one at its peak: bounds, read-ahead, caches, batches
MORE_WHEN_FULL_BYTES = 100_000_000  # and that much more, at most, while the rest of the flood comes
assert 0.9 * (FRAMES - FULL_AFTER) * FRAME_BYTES > 1.5 * MORE_WHEN_FULL_BYTES  # which would lie in memory else


def flooded(folder: Path, services: Services, policy: str) -> dict[str, int]:
    given = json.dumps({"folder": str(folder), "services": asdict(services), "policy": policy})
    process = subprocess.run(
        [sys.executable, "-m", "tests.scorer.worker.flood", given],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},  # else each thread keeps what it freed
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
    """A Kafka takes it all in; the embedded bus and the spool are bounded, and the camera is held."""
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
            opened(StoredLine(line.database_url, str(tmp_path / "images"), line.database, line.images), monkeypatch)
        )
        assert f"{formatting.plural(lost.frames, 'frame')} dropped since 03:04:05" in said
