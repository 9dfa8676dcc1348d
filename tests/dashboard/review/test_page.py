"""The review page's logic, run by Streamlit's own test harness without a browser."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.review import labelling
from dashboard.review.labelling import ShownFrame
from storage.actions import reviews as actions
from storage.auth import audit_log, users
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.line import normal_candidates
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.review import labels, review_queue, reviews
from storage.review.labels import Label
from storage.review.review_queue import QueueFilter
from tests.dashboard.page_harness import button, opened, press, text
from tests.dashboard.seeding import SeededStorage, verdict
from tests.dashboard.seeding_activity import user

FRAMES = 6


@pytest.fixture
def queue(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime) -> list[UUID]:
    """Six flagged frames, newest first."""
    made = [
        verdict(line, s1, normal_set, number, now - timedelta(minutes=number + 1), 0.5 + number / 100)
        for number in range(FRAMES)
    ]
    line.verdicts(*made)
    return [one.frame_id for one in made]


def current_labels(line: SeededStorage) -> dict[UUID, tuple[Label, tuple[str, ...]]]:
    with line.database.read() as session:
        return {one.frame_id: (one.label, one.tags) for one in labels.recent(session, 1)}


def shown(app: AppTest) -> str:
    """Return the HTML with the score of the frame that is shown."""
    return next(str(each.proto.body) for each in app.html if "andon-score" in str(each.proto.body))


def test_a_label_is_stored_and_the_next_frame_is_shown(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    assert "6 frames waiting" in text(app)
    assert "score <b>0.500</b>" in shown(app)
    press(app, "label-defect")
    assert current_labels(line) == {queue[0]: ("defect", ())}
    assert "score <b>0.510</b>" in shown(app)
    assert "5 frames waiting" in text(app)


def test_defect_types_are_stored_with_a_defect_only(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    press(app, "dent")
    press(app, "crack")
    press(app, "dent")  # and off again
    press(app, "label-defect")
    press(app, "dent")
    press(app, "label-false_alarm")
    assert current_labels(line) == {queue[0]: ("defect", ("crack",)), queue[1]: ("false_alarm", ())}


def test_a_defect_type_that_arrives_after_its_label_is_added_to_it(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    press(app, "label-defect", "dent")  # one message of the browser; Streamlit handles the label first
    assert current_labels(line) == {queue[0]: ("defect", ("dent",))}
    assert "score <b>0.510</b>" in shown(app)


def test_a_typed_type_takes_the_last_key_and_is_marked(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    app.text_input(key="another_type").set_value("burr").run()
    press(app, "label-defect")
    assert current_labels(line) == {queue[0]: ("defect", ("burr",))}
    assert [each.label for each in app.button if each.label == "burr"] == ["burr"]


def test_undo_returns_the_frame_to_the_reviewer(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    press(app, "label-unsure")
    press(app, "undo")
    assert current_labels(line) == {}
    assert "score <b>0.500</b>" in shown(app)
    press(app, "label-defect")  # and a new label of it is stored
    assert current_labels(line) == {queue[0]: ("defect", ())}


def test_labelling_good_and_proposing_is_one_press_and_two_audit_entries(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    press(opened(line, monkeypatch, "review"), "label-propose")
    assert current_labels(line) == {queue[0]: ("false_alarm", ())}
    with line.database.read() as session:
        assert len(normal_candidates.list_all(session, 1)) == 1
        assert {entry.action for entry in audit_log.list_entries(session)} == {"review.label", "normal_set.propose"}


def test_skipped_frames_wait_and_are_offered_again_at_the_end(
    line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    for _ in range(FRAMES):
        press(app, "next")
    assert not any('class="andon-score' in str(each.proto.body) for each in app.html)
    assert current_labels(line) == {}
    press(app, "Show skipped frames")
    assert "score <b>0.500</b>" in shown(app)


def test_two_people_never_review_the_same_frame(
    line: SeededStorage, queue: list[UUID], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = (user(line, name, Role.INSPECTOR, now) for name in ("ann", "ben"))
    of_ann, of_ben = opened(line, monkeypatch, "review", ann), opened(line, monkeypatch, "review", ben)
    assert "score <b>0.500</b>" in shown(of_ann)
    assert "score <b>0.510</b>" in shown(of_ben)
    press(of_ann, "label-defect")
    assert "score <b>0.520</b>" in shown(of_ann)
    with line.database.read() as session:
        held = {one.frame_id: str(one.claimed_by) for one in review_queue.list_queued(session, QueueFilter())}
    assert (held[queue[1]].split("@")[0], held[queue[2]].split("@")[0]) == ("ben", "ann")


@pytest.mark.parametrize("has_users", [False, True])
def test_two_browsers_of_nobody_or_of_one_person_review_different_frames(
    line: SeededStorage, queue: list[UUID], now: datetime, has_users: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = user(line, "ann", Role.INSPECTOR, now) if has_users else None
    first, second = (opened(line, monkeypatch, "review", who) for _ in range(2))
    assert "score <b>0.500</b>" in shown(first)
    assert "score <b>0.510</b>" in shown(second)
    press(second, "label-defect")
    assert "score <b>0.520</b>" in shown(second)
    press(first, "label-defect")
    assert "score <b>0.530</b>" in shown(first)
    press(first, "undo")  # the frame returns to the browser that labelled it
    assert "score <b>0.500</b>" in shown(first)
    assert current_labels(line) == {queue[1]: ("defect", ())}


def test_a_frame_labelled_meanwhile_keeps_its_label_and_the_page_says_so(
    line: SeededStorage, queue: list[UUID], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(line, monkeypatch, "review")
    with line.database.begin() as session:
        labelling.label_frames(
            session, Actor("colleague", Role.INSPECTOR), [ShownFrame(queue[0], 0)], "false_alarm", now
        )
    press(app, "label-defect")
    assert current_labels(line) == {queue[0]: ("false_alarm", ())}
    assert "colleague" in app.error[0].value
    assert "score <b>0.510</b>" in shown(app)


def test_a_viewer_sees_the_queue_with_disabled_buttons_and_claims_nothing(
    line: SeededStorage, queue: list[UUID], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = user(line, "visitor", Role.VIEWER, now)
    app = opened(line, monkeypatch, "review", viewer)
    assert "score <b>0.500</b>" in shown(app)
    for label in ("label-defect", "label-false_alarm", "label-unsure", "label-propose", "undo", "type-2"):
        assert button(app, label).disabled
    press(app, "next")
    assert "score <b>0.510</b>" in shown(app)
    with line.database.read() as session:
        assert {one.claimed_by for one in review_queue.list_queued(session, QueueFilter())} == {None}


def test_a_role_lost_while_the_page_is_open_stores_no_label(
    line: SeededStorage, queue: list[UUID], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = user(line, "ann", Role.INSPECTOR, now)
    app = opened(line, monkeypatch, "review", inspector)
    with line.database.begin() as session:
        users.set_role(session, "ann", Role.VIEWER)
    press(app, "label-defect")
    assert current_labels(line) == {}
    assert "review.label" in app.error[0].value


def test_selected_frames_get_one_label(line: SeededStorage, queue: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(line, monkeypatch, "review", mode="Grid")
    assert button(app, "label-defect").disabled
    for frame_id in queue[1:4]:
        app.checkbox(key=f"choose-{frame_id}").check()
    app.run()
    press(app, "label-false_alarm")
    assert set(current_labels(line)) == set(queue[1:4])
    press(app, "undo")  # labels given by one press are undone by one
    assert current_labels(line) == {}
    press(app, "select-all")
    press(app, "label-unsure")
    assert len(current_labels(line)) == FRAMES


def test_an_escape_is_found_and_explained(
    line: SeededStorage,
    s1: Station,
    normal_set: NormalSet,
    queue: list[UUID],
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missed = verdict(line, s1, normal_set, 50, now - timedelta(minutes=2), 0.2)
    line.verdicts(missed, *(verdict(line, s1, normal_set, 60 + n, now, 0.3) for n in range(3)))
    app = opened(line, monkeypatch, "review", mode="Find a frame", frame=str(missed.frame_id))
    content = text(app)
    assert "It scored 0.200 and the threshold was 0.410, so it passed 51 % below it." in content
    assert "3 more frames of the 10" in content
    press(app, "label-defect")
    with line.database.read() as session:
        (counts,) = labels.counts(session)
    assert counts.passed_defect == 1
    press(app, "label-false_alarm")  # the frame stays on the page, and a person may change their mind
    assert current_labels(line)[missed.frame_id] == ("false_alarm", ())


def test_the_idempotency_key_is_the_same_in_every_tab() -> None:
    sight = ShownFrame(UUID(int=7), 0)
    assert labelling.idempotency_key(sight, "ann") == labelling.idempotency_key(ShownFrame(UUID(int=7), 0), "ann")
    others = [ShownFrame(UUID(int=8), 0), ShownFrame(UUID(int=7), 3)]
    ids = {
        labelling.idempotency_key(sight, "ann"),
        labelling.idempotency_key(sight, "ben"),
        *(labelling.idempotency_key(o, "ann") for o in others),
    }
    assert len(ids) == 4


def test_a_hundred_labels_submitted_twice_each_are_a_hundred_labels(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    line.verdicts(*(verdict(line, s1, normal_set, 100 + n, now - timedelta(seconds=n), 0.6) for n in range(100)))
    who = Actor(SINGLE_USER, Role.ADMIN)
    for number in range(100):
        with line.database.begin() as session:
            (frame,) = actions.claim(session, who, QueueFilter(), now)
            (sight,) = labelling.shown_frames(session, [frame.frame_id])
        for _ in range(2):  # a reload sends the label again
            with line.database.begin() as session:
                labelling.label_frames(session, who, [sight], "defect", now + timedelta(seconds=number))
    with line.database.read() as session:
        assert len(reviews.recent(session, limit=1000)) == 100
        assert labels.counts(session)[0].flagged_defect == 100
        assert review_queue.count(session, QueueFilter()) == 0
