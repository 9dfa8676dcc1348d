"""The page that adds a station."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from storage.auth import audit_log
from storage.auth.actors import Role
from storage.line import normal_sets, parked_frames, stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station
from storage.review import labels as review_labels
from storage.review import review_queue
from storage.review.review_queue import ASKED_FROM
from tests.dashboard.page_harness import fill, labels, opened, press, text
from tests.dashboard.seeding import Scene, SeededStorage, jpeg, park, photograph, verdict
from tests.dashboard.seeding_activity import add_users


def test_a_viewer_can_not_add_a_station(line: SeededStorage, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    actors = add_users(line, now)
    app = opened(line, monkeypatch, "add-station", actors[Role.INSPECTOR])
    assert "Continue" not in labels(app)
    assert app.info


def test_the_wizard_leads_from_a_name_over_parked_frames_to_the_first_verdict(
    line: SeededStorage, coins: Scene, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "add-station")
    fill(app, "Name", "Press-1")
    fill(app, "Object that is inspected", "coin")
    app = press(app, "Continue")
    with line.database.read() as session:
        place = stations.get(session, "press-1")
    assert place.settings.object_name == "coin"
    assert "andon produce press-1" in text(app)
    assert "Continue" in labels(app, enabled=False)
    chance = np.random.default_rng(2)
    for n in range(4):
        park_picture(line, place, n, jpeg(coins.frame(chance)), now)
    app = press(app, "refresh-frames")
    for box in app.checkbox:
        box.set_value(True)
    app = press(app.run(), "Continue")
    assert "one false reject in 5; 1 % needs 99 good parts" in text(app)
    app = press(app, "start-inspection")
    assert "Waiting for the first verdict" in text(app)
    with line.database.read() as session:
        active = normal_sets.active(session, place.id)
        actions = [entry.action for entry in audit_log.list_entries(session)]
    assert active is not None
    assert len(active.images) == 4
    assert actions == ["normal_set.activate", "normal_set.add", "station.add"]
    line.verdicts(verdict(line, place, active, 1, now, 0.2))
    assert "The first verdict of press-1: score 0.200, threshold 0.410." in text(app.run())


def park_picture(line: SeededStorage, place: Station, number: int, picture: bytes, now: datetime) -> None:
    """One parked frame, with an image of its own."""
    reference = line.images.put(picture)
    at = now - number * timedelta(seconds=4)
    frame_id = UUID(int=(place.id << 64) + 900 + number)
    frame = ParkedFrame(frame_id, place.id, at, at, at, reference, "image/jpeg", None, None, "andon.frames", 1, number)
    with line.database.begin() as session:
        parked_frames.park(session, [frame])


def test_a_station_without_good_parts_can_be_continued(
    line: SeededStorage, s1: Station, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(line, s1, 3, now)
    app = press(opened(line, monkeypatch, "add-station"), "s1")
    assert "3 frames are waiting." in text(app)


def test_a_bad_part_among_the_good_ones_is_told_before_it_is_stored(
    line: SeededStorage, s1: Station, coins: Scene, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = np.asarray(photograph("coins").convert("RGB"))[:120, :160]
    chance = np.random.default_rng(3)
    for number in range(5):
        noisy = np.clip(part.astype(np.int16) + chance.integers(-3, 4, part.shape), 0, 255).astype(np.uint8)
        if number == 2:
            noisy[40:60, 60:100] = 255  # a scratch
        park_picture(line, s1, number, jpeg(Image.fromarray(noisy)), now)
    app = press(opened(line, monkeypatch, "add-station"), "s1")
    for box in app.checkbox:
        box.set_value(True)
    app.run()
    assert "1 image stands out" in app.warning[0].value
    bad = sorted(app.checkbox, key=lambda box: str(box.key))[2]
    bad.set_value(False)
    app.run()
    assert not app.warning
    assert "It does not stand out" in text(app)


def test_the_last_step_asks_about_the_highest_frames_and_stores_the_answers(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [verdict(line, s1, normal_set, number, now, 0.2 + number / 1000) for number in range(ASKED_FROM)]
    line.verdicts(*made[:12])
    app = opened(line, monkeypatch, "add-station", new="s1")
    assert [bar.proto.value for bar in app.get("progress")] == [40]
    line.verdicts(*made[12:])
    with line.database.begin() as session:
        review_queue.ask(session, s1.id, [made[-1].frame_id, made[-2].frame_id])
    app.run()
    assert "2 left" in text(app)
    press(app, f"defect-{made[-1].frame_id}")
    press(app, f"false_alarm-{made[-2].frame_id}")
    with line.database.begin() as session:
        given = {one.frame_id: one.label for one in review_labels.recent(session, s1.id)}
        (first,) = thresholds.history(session, s1.id)
        thresholds.record(session, replace(first, value=0.22, review_limit=0.22, kind="reviewed", guarantee="Learnt."))
    assert given == {made[-1].frame_id: "defect", made[-2].frame_id: "false_alarm"}
    assert "Threshold 0.220, moved from 0.410. Learnt." in text(app.run())
    assert "All answered" in text(app)
