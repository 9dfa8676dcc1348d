"""The page that adds a station."""

from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from storage.auth import audit_log
from storage.auth.actors import Role
from storage.line import normal_sets, parked_frames, stations
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station
from tests.dashboard.page_harness import fill, labels, opened, press, text
from tests.dashboard.seeding import Scene, SeededStorage, jpeg, park, verdict
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
