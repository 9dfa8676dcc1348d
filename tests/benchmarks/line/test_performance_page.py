"""The performance page is made from benchmark results, and keeps tables that have no new results."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.line import performance_page

LATENCY = {
    "bus": "kafka",
    "frames": 300,
    "camera_per_s": 22.5,
    "p50_ms": 70.1,
    "p90_ms": 90.2,
    "p99_ms": 120.3,
    "longest_ms": 140.4,
    "ms_by_percent": list(range(101)),
    "machine": "a test machine",
}
PAGE = """# Performance

<!-- latency -->
old
<!-- end of latency -->

<!-- bus -->
kept
<!-- end of bus -->
"""


def test_new_results_are_written_and_plotted_and_other_tables_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latency-kafka.json").write_text(json.dumps(LATENCY))
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--markdown", str(page), "--plots", str(tmp_path)])
    performance_page.main()
    written = page.read_text()
    assert "| kafka | 300 | 22.5 | 70.1 | 90.2 | 120.3 | 200 | 140.4 |" in written
    assert "Measured on a test machine." in written
    assert "old" not in written
    assert "kept" in written
    assert "<svg" in (tmp_path / "performance-latency.svg").read_text()
    assert not (tmp_path / "performance-bus.svg").exists()


def test_the_page_has_markers_for_every_table() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "explanation" / "performance.md").read_text()
    for command in performance_page.PAGES:
        assert f"<!-- {command} -->" in page
        assert f"<!-- end of {command} -->" in page
        assert f"images/performance-{command}.svg" in page
