"""The charts and KPIs page."""

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest

from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.page_harness import opened, text
from tests.dashboard.seeding import SeededStorage, verdict
from tests.dashboard.seeding_activity import reviewed

MINUTE = timedelta(minutes=1)


def frames(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, scores: Callable[[int], float], number: int
) -> None:
    """`number` frames, six seconds apart, the newest now; the review limit is 0.3."""
    at = [now - (number - n) * timedelta(seconds=6) for n in range(number)]
    line.verdicts(
        *(verdict(line, s1, normal_set, n, at[n], scores(n), review_limit=0.3) for n in range(number)),
    )


def test_control_charts_list_which_points_broke_which_rule(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(5)
    quiet = np.exp(chance.normal(np.log(0.2), 0.1, 330))
    frames(line, s1, normal_set, now, lambda n: 0.4 if n == 329 else float(quiet[n]), 330)
    app = opened(line, monkeypatch, "quality", station="s1")
    content = text(app)
    assert "limits from 300 good frames" in content
    first = app.dataframe[0].value.iloc[0]
    assert first["Rules broken"].startswith("WE1: one beyond 3 σ")  # ln 0.4 lies 7 sigma above ln 0.2
    assert first["Score"] == "0.400"
    for chart in ("EWMA", "CUSUM"):
        assert f"{chart}: s1" in text(opened(line, monkeypatch, "quality", station="s1", chart=chart))


def test_control_charts_say_what_is_missing(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(line, monkeypatch, "quality").info
    frames(line, s1, normal_set, now, lambda n: 0.2 + n / 1000, 40)
    assert "300 good frames; 40 came" in text(opened(line, monkeypatch, "quality"))


def test_kpis_are_computed_from_reviews(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(line, s1, normal_set, now - MINUTE, lambda n: 0.9 if n < 5 else 0.4 if n < 8 else 0.2, 100)
    reviewed(line, s1.id, 100, now, false_alarms=0)
    app = opened(line, monkeypatch, "quality", panel="KPIs")
    content = text(app)
    assert "<span>First-pass yield</span><b>95.00 %</b><small>100 frames</small>" in content
    assert "<span>Flagged ppm</span><b>50,000</b>" in content
    assert "<span>DPMO</span><b>60,000</b>" in content  # 5 defects caught and 1 escaped, of 100 parts, all reviewed
    assert "<span>Escapes</span><b>16.67 %</b><small>16.67 to 16.67 %</small>" in content
    row = app.dataframe[0].value.iloc[0]
    assert (row["Station"], row["Frames"], row["Flagged"]) == ("s1", 100, 5)
    assert "<span>Borderline</span><b>3.00 %</b><small>3 frames passed to review</small>" in content
    assert "<span>Caught by review</span><b>1</b>" in content
    assert (row["Borderline"], row["Caught by review"]) == ("3 (3.00 %)", 1)
