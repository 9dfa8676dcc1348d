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


def run_flood(folder: Path, services: Services, policy: str) -> dict[str, int]:
    arguments = json.dumps({"folder": str(folder), "services": asdict(services), "policy": policy})
    process = subprocess.run(
        [sys.executable, "-m", "tests.scorer.worker.flood", arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},  # or each thread retains freed memory
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr + process.stdout
    result: dict[str, int] = json.loads(process.stdout.splitlines()[-1])
    assert result["peak_bytes"] - result["before_bytes"] < MEMORY_BYTES, result
    assert result["peak_bytes"] - result["full_bytes"] < MORE_WHEN_FULL_BYTES, result
    return result


def test_a_flood_that_blocks_the_camera_loses_nothing(tmp_path: Path, services: Services) -> None:
    """A Kafka stores all frames; the embedded bus and the spool are bounded, and the camera is blocked."""
    result = run_flood(tmp_path, services, "wait")
    assert result["was_blocked"] or services.kafka
    with closing(Line(tmp_path, services)) as line:
        assert len(line.dead_letters()) == FRAMES // POISON_ONE_IN
        assert len(line.verdicts("s1")) == WARM_UP_FRAMES + FRAMES - FRAMES // POISON_ONE_IN
        with line.database.read() as session:
            assert drops.totals_since(session, START) == {}


def test_a_flood_that_drops_the_oldest_frames_counts_each_and_shows_it_on_the_dashboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_flood(tmp_path, Services(), "drop_oldest")
    with closing(Line(tmp_path, Services())) as line:
        with line.database.read() as session:
            lost = drops.totals_since(session, START)["s1"]
        assert len(line.verdicts("s1")) - WARM_UP_FRAMES + len(line.dead_letters()) + lost.frames == FRAMES
        assert lost.frames > FRAMES / 4
        monkeypatch.setattr("dashboard.context.now", lambda: START + timedelta(hours=2))
        page_text = text(
            opened(SeededStorage(line.database_url, str(tmp_path / "images"), line.database, line.images), monkeypatch)
        )
        assert f"{formatting.plural(lost.frames, 'frame')} dropped since 03:04:05" in page_text
