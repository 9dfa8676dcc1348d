"""The decisions that a draft would change, worked out by hand."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

from storage.database.engine import Database
from storage.line import verdicts, what_if
from storage.line.what_if import ErrorCounts, FrameToRescore, WhatIfRequest, WhatIfResult
from storage.review import reviews
from storage.review.reviews import LabelSubmission
from tests.storage.examples import IMAGE, NOON, add_active_set, add_station, make_verdict

ALARM, CAUGHT, MISSED, GOOD, GONE = (UUID(int=number) for number in range(1, 6))
FRAMES = [
    FrameToRescore(ALARM, NOON, IMAGE, "flag", 0.7, 0.5, "false_alarm"),
    FrameToRescore(CAUGHT, NOON, IMAGE, "flag", 0.9, 0.5, "defect"),
    FrameToRescore(MISSED, NOON, IMAGE, "pass", 0.4, 0.5, "defect"),
    FrameToRescore(GOOD, NOON, IMAGE, "pass", 0.2, 0.5, None),
    FrameToRescore(GONE, NOON, IMAGE, "flag", 0.6, 0.5, "false_alarm"),
]


def compare_frames() -> WhatIfResult:
    """The draft contains the false alarm, so it passes; the missed defect is flagged, and a good part too."""
    new = {ALARM: 0.3, CAUGHT: 0.8, MISSED: 0.45, GOOD: 0.41}
    return what_if.compare(WhatIfRequest(3, 200), "m", 0.4, "a promise", FRAMES, new)


def test_changed_decisions_and_errors_are_those_worked_out_by_hand() -> None:
    result = compare_frames()
    assert [flip.frame_id for flip in result.to_pass] == [ALARM]
    assert [flip.frame_id for flip in result.to_flag] == [MISSED, GOOD]
    assert (result.to_pass[0].old_score, result.to_pass[0].new_score) == (0.7, 0.3)
    assert (result.before, result.after) == (ErrorCounts(1, 1), ErrorCounts(0, 0))
    assert (result.rescored, result.not_rescored, result.good, result.defects) == (4, 1, 1, 2)


def test_request_and_result_survive_json() -> None:
    assert WhatIfResult.from_json(json.loads(json.dumps(compare_frames().to_json()))) == compare_frames()
    assert WhatIfRequest.from_json(json.loads(json.dumps(WhatIfRequest(3, 50).to_json()))) == WhatIfRequest(3, 50)


def test_reviewed_frames_are_rescored_first_then_the_newest(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        normal_set = add_active_set(session, station)
        recorded = [make_verdict(normal_set, at=NOON - timedelta(minutes=age), score=0.1 * age) for age in range(5)]
        unscored = [make_verdict(normal_set, decision=decision) for decision in ("no_reference", "bad_picture")]
        verdicts.record(session, [*recorded, *unscored])
        newest, second, third, fourth, oldest = (verdict.frame_id for verdict in recorded)
        for frame in (oldest, second):
            reviews.submit(session, LabelSubmission(uuid4(), frame, "defect"), "mia", NOON)
        found = what_if.frames_to_rescore(session, station.id, 4)
    assert [frame.frame_id for frame in found] == [second, oldest, newest, third]
    assert [frame.label for frame in found] == ["defect", "defect", None, None]
    assert fourth not in [frame.frame_id for frame in found]
