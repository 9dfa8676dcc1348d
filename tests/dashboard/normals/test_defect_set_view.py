"""The defect set on the view Threshold: what a station learnt from labelled defects."""

from datetime import datetime
from uuid import UUID

import pytest

from storage.learning import defect_sets
from storage.learning.defect_sets import DefectSet
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.page_harness import opened, text
from tests.dashboard.seeding import MODEL, SeededStorage


def record(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, defects: int, in_use: bool, reason: str
) -> None:
    frames = tuple(UUID(int=number) for number in range(defects))
    with line.database.begin() as session:
        defect_sets.record(
            session,
            DefectSet(s1.id, 0, normal_set.id, MODEL, "0d", frames, 195, 4, 2, in_use, reason, now, "scorer-1"),
            b"12345678",
        )


def test_no_defect_set_is_shown_before_a_frame_was_labelled_a_defect(
    line: SeededStorage, s1: Station, normal_set: NormalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Defect set" not in text(opened(line, monkeypatch, "normals", station="s1", view="Threshold"))


def test_a_defect_set_in_use_says_what_it_catches_and_what_the_normals_alone_would(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(line, s1, normal_set, now, 5, True, "")
    shown = text(opened(line, monkeypatch, "normals", station="s1", view="Threshold"))
    assert "version 1, in use" in shown
    assert "4 of 5" in shown
    assert "By the normals alone 2 would be flagged" in shown
    assert "195 other frames" in shown


def test_a_defect_set_that_is_not_used_says_why(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(line, s1, normal_set, now, 5, True, "")
    record(line, s1, normal_set, now, 0, False, "No frame is labelled a defect any more.")
    shown = text(opened(line, monkeypatch, "normals", station="s1", view="Threshold"))
    assert "version 2, not in use" in shown
    assert "No frame is labelled a defect any more." in shown
