"""The frames that a station asks about, on the review page: how they are offered, and what an answer changed."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from storage.auth.actors import Role
from storage.line import thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.review import review_queue
from tests.dashboard.page_harness import button, opened, press, text
from tests.dashboard.seeding import SeededStorage, verdict
from tests.dashboard.seeding_activity import user

ASKS = "asks about 2 frames: each answer moves its limits."
REASON = "240 frames of the stream and 6 answers on the highest of them"


@pytest.fixture
def frames(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime) -> list[Verdict]:
    """Newest first: a flagged frame, and two that passed and that the station asks about, the older one first."""
    made = [
        verdict(line, s1, normal_set, n, now - timedelta(minutes=n + 1), score)
        for n, score in enumerate((0.5, 0.31, 0.32))
    ]
    line.verdicts(*made)
    with line.database.begin() as session:
        review_queue.ask(session, s1.id, [made[2].frame_id, made[1].frame_id])
    return made


def learn(line: SeededStorage, s1: Station, value: float, review_limit: float) -> None:
    """Move the limits, as a scorer does after an answer."""
    with line.database.begin() as session:
        newest = thresholds.history(session, s1.id)[0]
        thresholds.record(
            session, replace(newest, value=value, review_limit=review_limit, kind="reviewed", reason=REASON)
        )


def shown(app: AppTest) -> str:
    """Return the HTML with the score of the frame that is shown."""
    return next(str(each.proto.body) for each in app.html if "andon-score" in str(each.proto.body))


def test_a_station_that_asks_is_named_above_the_queue_and_its_questions_are_one_press_away(
    line: SeededStorage, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    assert f"<b>s1</b> {ASKS}" in text(app)
    assert "score <b>0.500</b>" in shown(app)
    press(app, "answer-")
    assert "score <b>0.320</b>" in shown(app)
    assert "2 frames waiting" in text(app)
    assert "Question</span>" in text(app)
    assert ASKS not in text(app)
    assert app.session_state["station"] == "s1"


def test_a_station_that_was_not_chosen_and_one_that_asks_nothing_are_not_named(
    line: SeededStorage, frames: list[Verdict], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.station("s2", now)
    assert "asks about" not in text(opened(line, monkeypatch, "review", station="s2"))


def test_questions_come_in_the_order_in_which_the_station_asks(
    line: SeededStorage, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review", order="Questions")
    assert "score <b>0.320</b>" in shown(app)
    press(app, "label-false_alarm")
    assert "score <b>0.310</b>" in shown(app)
    press(app, "label-defect")
    assert "No questions" in text(app)


def test_an_answer_that_moved_the_limits_says_so_at_the_next_run(
    line: SeededStorage, s1: Station, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(line, s1, 0.41, 0.35)
    app = opened(line, monkeypatch, "review", order="Questions")
    press(app, "label-false_alarm")
    assert "→" not in text(app)
    learn(line, s1, 0.38, 0.35)
    assert f"s1: threshold 0.410 → 0.380 ({REASON})" in text(app.run())
    press(app, "label-defect")  # the next answer starts from the limits of then
    assert "→" not in text(app)
    learn(line, s1, 0.36, 0.30)
    assert f"s1: threshold 0.380 → 0.360, review limit 0.350 → 0.300 ({REASON})" in text(app.run())


def test_the_limits_after_a_label_outside_the_questions_are_not_said_to_be_its_effect(
    line: SeededStorage, s1: Station, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    press(app, "label-defect")
    learn(line, s1, 0.38, 0.35)
    app.segmented_control[1].set_value("Questions")
    assert "→" not in text(app.run())


def test_an_answer_that_was_undone_is_forgotten(
    line: SeededStorage, s1: Station, frames: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review", order="Questions")
    press(app, "label-false_alarm")
    press(app, "undo")
    learn(line, s1, 0.38, 0.35)
    assert "→" not in text(app.run())


def test_a_viewer_sees_the_questions_and_cannot_answer_them(
    line: SeededStorage, frames: list[Verdict], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review", user(line, "visitor", Role.VIEWER, now), order="Questions")
    assert "score <b>0.320</b>" in shown(app)
    assert button(app, "label-defect").disabled
