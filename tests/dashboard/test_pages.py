"""The wall, the station page and the dead letters in Streamlit's own test harness, without a browser."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from dashboard import formatting
from imaging.quality.picture_problem import EXPLANATIONS, PictureProblem
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import drops
from storage.line.drops import DropReport
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.page_harness import opened, text
from tests.dashboard.seeding import SeededStorage, bad_picture, letters, park, verdict


def test_an_empty_wall_says_what_to_do(line: SeededStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    content = text(opened(line, monkeypatch))
    assert "No stations yet" in content
    assert "andon station add s1" in content
    assert "Frames today" not in content  # no numbers that say that all is well


def test_the_metrics_count_today_s_frames_and_running_scorers(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.2), verdict(line, s1, normal_set, 2, now, 0.9))
    line.worker("scorer-1", now, lag=7)
    line.worker("scorer-2", now - timedelta(hours=1))
    content = text(opened(line, monkeypatch))
    assert "<span>Frames today</span><b>2</b>" in content
    assert "<span>Flagged today</span><b>50 %</b><small>1 frame</small>" in content
    assert "<span>Scorers</span><b>1</b><small>1 scorer not running</small>" in content
    assert "<span>Lag</span><b>7</b>" in content


def test_a_bad_picture_says_on_wall_and_station_page_why_and_where_to_look(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = [verdict(line, s1, normal_set, number, now - timedelta(seconds=9), 0.2) for number in (1, 2, 3)]
    line.verdicts(*scored, bad_picture(line, s1, 4, now, "dark"))
    line.worker("scorer-1", now)
    wall = text(opened(line, monkeypatch))
    assert "<span>Flagged today</span><b>0 %</b>" in wall
    assert "<span>Bad pictures today</span><b>25 %</b><small>1 frame</small>" in wall
    assert EXPLANATIONS[PictureProblem.DARK] in wall
    assert 'data-state="bad_picture"' in wall
    page = text(opened(line, monkeypatch, "station", station="s1", show="Bad pictures"))
    assert "<span>Bad pictures</span><b>25 %</b>" in page
    assert EXPLANATIONS[PictureProblem.DARK] in page


def test_a_station_with_bad_pictures_alone_does_not_look_like_one_without_flags(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.verdicts(*(bad_picture(line, s1, number, now, "blank") for number in range(8)))
    content = text(opened(line, monkeypatch, "station", station="s1"))
    assert content.count("Nothing was scored in the last 1 h.") == 2
    assert "Nothing was flagged in the last 1 h; of 8 frames, 8 are bad pictures." in content


def test_no_scorer_running_is_distinct_from_a_silent_camera(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now - timedelta(minutes=9), 0.2))
    assert "No scorer running" in text(opened(line, monkeypatch))
    line.worker("scorer-1", now + timedelta(minutes=5))
    assert "Silent for 9 min" in text(opened(line, monkeypatch))


def test_frames_that_wait_are_counted_on_the_tile(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(line, s1, 37, now)
    content = text(opened(line, monkeypatch))
    assert "37 frames wait for a normal set." in content
    assert "andon normals add s1 FOLDER --activate" in content


def test_dropped_frames_are_shown_on_the_tile_for_a_day(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = timedelta(hours=1)
    with line.database.begin() as session:
        drops.record(session, [DropReport(UUID(int=1), "s1", "spool-full", 9, now - 26 * hour, now - 25 * hour)])
        drops.record(session, [DropReport(UUID(int=2), "s1", "spool-full", 3, now - hour, now)])
    content = text(opened(line, monkeypatch))
    assert f"3 frames dropped since {formatting.clock(now - hour, now, UTC)}" in content


def test_frames_deleted_unread_are_shown_above_the_tiles(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line.database.begin() as session:
        drops.record(session, [DropReport(UUID(int=1), drops.NO_STATION, drops.DELETED_UNREAD, 5, now, now)])
    content = text(opened(line, monkeypatch))
    assert "Not inspected" in content
    assert "deleted from the bus unread" in content


def test_a_missing_schema_names_the_command_that_creates_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    bare = SeededStorage(url, str(tmp_path), Database(url), ImageStore(str(tmp_path)))
    (error,) = opened(bare, monkeypatch).error
    assert "andon db upgrade" in error.value


def test_a_station_page_without_a_station_asks_for_one(
    line: SeededStorage, s1: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Choose a station above" in text(opened(line, monkeypatch, "station"))


def test_a_time_range_without_frames_does_not_look_like_one_without_flags(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.verdicts(verdict(line, s1, normal_set, 1, now - timedelta(hours=3), 0.2))
    content = text(opened(line, monkeypatch, "station", station="s1"))
    assert "Nothing was scored in the last 1 h." in content
    assert "No frame was inspected in the last 1 h." in content
    assert "andon produce s1 --source folder:PATH" in content


def test_a_frame_whose_image_was_deleted_still_shows_its_verdict(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "sha256:" + 64 * "0"
    line.verdicts(verdict(line, s1, normal_set, 1, now, 0.9, image_reference=gone, map_reference=gone))
    app = opened(line, monkeypatch, "station", station="s1")
    assert len(app.warning) == 1
    assert "above the threshold" in text(app)


def test_a_frame_without_references_has_no_score(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    unscored = verdict(
        line,
        s1,
        normal_set,
        1,
        now,
        None,
        decision="no_reference",
        threshold=None,
        normal_set_id=None,
        detector=None,
        model_id=None,
        weights_sha256=None,
    )
    line.verdicts(unscored)
    app = opened(line, monkeypatch, "station", station="s1", show="All")
    assert "This frame was not scored" in text(app)


def test_dead_letters_say_why_and_how_they_are_replayed(
    line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not opened(line, monkeypatch, "dead-letters").dataframe
    letters(line, now)
    app = opened(line, monkeypatch, "dead-letters")
    rows = app.dataframe[0].value
    assert list(rows["Reason"]) == ["unknown-station", "corrupt-image", "no-headers", "too-many-pixels"]
    assert "andon dead-letters replay 1" in text(app)


def test_normal_sets_show_versions_with_the_guarantee_of_their_threshold(
    line: SeededStorage, s1: Station, normal_set: NormalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text(opened(line, monkeypatch, "normals"))
    assert "Version 1" in content
    assert "3 good parts" in content
    assert "A guarantee of 1 % needs 99 normals." in content
