"""Borderline frames, both limits and a station's questions on the wall and the station page."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from storage.actions import reviews as review_actions
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.review import review_queue
from storage.review.reviews import LabelSubmission
from tests.dashboard.page_harness import opened, text
from tests.dashboard.seeding import SeededStorage, verdict


@pytest.fixture
def frames(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime) -> list[Verdict]:
    """Newest first: a borderline frame, one that passed, a flagged and another borderline one."""
    made = [
        verdict(line, s1, normal_set, n, now - timedelta(seconds=5 * n + 1), score, review_limit=0.35)
        for n, score in enumerate((0.39, 0.2, 0.7, 0.38))
    ]
    line.verdicts(*made)
    line.worker("scorer-1", now)
    return made


def labelled_a_defect(line: SeededStorage, frame: Verdict, now: datetime) -> None:
    with line.database.begin() as session:
        submission = LabelSubmission(uuid4(), frame.frame_id, "defect")
        review_actions.label(session, Actor(SINGLE_USER, Role.ADMIN), [submission], now)


def asked(line: SeededStorage, s1: Station, frames: list[Verdict]) -> None:
    with line.database.begin() as session:
        review_queue.ask(session, s1.id, [frame.frame_id for frame in frames])


def test_the_newest_frame_of_a_tile_is_called_borderline_and_such_frames_are_counted_beside_the_flagged_ones(
    line: SeededStorage, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text(opened(line, monkeypatch))
    assert '<span class="andon-tag borderline">' in content
    assert "<span>flagged in" in content
    assert " 2 borderline</span>" in content


def test_a_tile_without_borderline_frames_escapes_and_questions_names_none_of_them(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.2, review_limit=0.35))
    app = opened(line, monkeypatch)
    content = text(app)
    assert "borderline</span>" not in content
    assert "caught by review" not in content
    assert [link.proto.label for link in app.get("page_link") if "Asks" in link.proto.label] == []


def test_the_station_page_counts_borderline_frames_and_shows_the_review_limit(
    line: SeededStorage, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text(opened(line, monkeypatch, "station", station="s1"))
    assert "<span>Flagged</span><b>25 %</b><small>1 frame</small>" in content
    assert "<span>Borderline</span><b>50 %</b><small>2 frames</small>" in content
    assert "<span>Threshold</span><b>0.410</b><small>review limit 0.350</small>" in content
    assert "<span>Caught by review</span><b>0</b>" in content


def test_a_borderline_frame_is_called_so_in_the_list_of_passed_frames(
    line: SeededStorage, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text(opened(line, monkeypatch, "station", station="s1", show="Passed"))
    assert content.count('<b class="borderline">') == 2
    assert content.count('<b class="good">') == 1
    assert "4.9 % below the threshold: borderline." in content


def test_frames_that_passed_and_were_labelled_a_defect_within_a_week_are_counted_as_caught_by_review(
    line: SeededStorage,
    s1: Station,
    normal_set: NormalSet,
    frames: list[Verdict],
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = verdict(line, s1, normal_set, 50, now - timedelta(days=8), 0.39, review_limit=0.35)
    line.verdicts(old)
    for frame in (old, frames[0], frames[2], frames[3]):  # the third was flagged
        labelled_a_defect(line, frame, now)
    assert "<b>2</b><span>caught by review</span>" in text(opened(line, monkeypatch))
    assert "<span>Caught by review</span><b>2</b>" in text(opened(line, monkeypatch, "station", station="s1"))


def test_wall_and_station_page_link_to_the_frames_that_a_station_asks_about(
    line: SeededStorage, s1: Station, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(line, s1, frames[:3])
    for page in (opened(line, monkeypatch), opened(line, monkeypatch, "station", station="s1")):
        links = {link.proto.label: link.proto.query_string for link in page.get("page_link")}
        assert links["Asks about 3 frames"] == "order=Questions&station=s1"


def test_a_frame_of_a_former_version_without_review_limit_is_not_borderline(
    line: SeededStorage, frames: list[Verdict], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = replace(frames[0], frame_id=uuid4(), captured_at=now, review_limit=None, offset=99)
    line.verdicts(former)
    with line.database.read() as session:
        assert not verdicts.get(session, former.frame_id).is_borderline
    assert '<span class="andon-tag good">' in text(opened(line, monkeypatch))
