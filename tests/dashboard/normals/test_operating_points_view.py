"""Thresholds to choose from, on the view Threshold."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from storage.actions import reviews as review_actions
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.line import thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.review.reviews import LabelSubmission
from tests.dashboard.page_harness import opened, press, text
from tests.dashboard.seeding import SeededStorage, verdict

ADMIN = Actor(SINGLE_USER, Role.ADMIN)


def label_defects(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, count: int) -> None:
    """Record frames that scored 0.20 to 0.29, and so many above 0.5 that are labelled defects."""
    good = [verdict(line, s1, normal_set, n, now - timedelta(minutes=n + 1), 0.2 + n / 100) for n in range(10)]
    defects = [
        verdict(line, s1, normal_set, 100 + n, now - timedelta(minutes=n + 1), 0.5 + n / 100) for n in range(count)
    ]
    line.verdicts(*good, *defects)
    with line.database.begin() as session:
        submissions = [LabelSubmission(uuid4(), frame.frame_id, "defect") for frame in defects]
        review_actions.label(session, ADMIN, submissions, now)


def test_a_threshold_is_chosen_by_what_it_misses_and_flags(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_defects(line, s1, normal_set, now, 8)
    app = opened(line, monkeypatch, "normals", station="s1", view="Threshold")
    assert "8 labelled defects, 10 other frames" in text(app)
    press(app, "set-point-miss_nothing")
    with line.database.read() as session:
        newest = thresholds.history(session, s1.id)[0]
    assert newest.kind == "manual"
    assert newest.value == pytest.approx(0.395)  # between 0.29 and 0.5
    assert newest.reason.startswith("miss nothing")


def test_with_fewer_than_eight_labelled_defects_none_is_offered(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_defects(line, s1, normal_set, now, 7)
    app = opened(line, monkeypatch, "normals", station="s1", view="Threshold")
    assert not [each for each in app.button if each.key and each.key.startswith("set-point-")]
