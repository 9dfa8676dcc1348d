"""The decisions that a draft would change, worked out by hand."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

from storage.database.engine import Database
from storage.line import verdicts, what_if
from storage.line.what_if import ErrorCounts, FrameToRescore, WhatIfRequest, WhatIfResult
from storage.review import reviews
from storage.review.reviews import LabelSubmission
from tests.storage.examples import IMAGE, NOON, a_station, a_verdict, an_active_set

ALARM, CAUGHT, MISSED, GOOD, GONE = (UUID(int=number) for number in range(1, 6))
FRAMES = [
    FrameToRescore(ALARM, NOON, IMAGE, "flag", 0.7, 0.5, "false_alarm"),
    FrameToRescore(CAUGHT, NOON, IMAGE, "flag", 0.9, 0.5, "defect"),
    FrameToRescore(MISSED, NOON, IMAGE, "pass", 0.4, 0.5, "defect"),
    FrameToRescore(GOOD, NOON, IMAGE, "pass", 0.2, 0.5, None),
    FrameToRescore(GONE, NOON, IMAGE, "flag", 0.6, 0.5, "false_alarm"),
]


def answer() -> WhatIfResult:
    """The draft contains the false alarm, so it passes; the missed defect is flagged, and a good part too."""
    new = {ALARM: 0.3, CAUGHT: 0.8, MISSED: 0.45, GOOD: 0.41}
    return what_if.compare(WhatIfRequest(3, 200), "m", 0.4, "a promise", FRAMES, new)


def test_flips_both_ways_and_errors_before_and_after() -> None:
    told = answer()
    assert [flip.frame_id for flip in told.to_pass] == [ALARM]
    assert [flip.frame_id for flip in told.to_flag] == [MISSED, GOOD]
    assert (told.to_pass[0].old_score, told.to_pass[0].new_score) == (0.7, 0.3)
    assert (told.before, told.after) == (ErrorCounts(1, 1), ErrorCounts(0, 0))
    assert (told.rescored, told.not_rescored, told.good, told.defects) == (4, 1, 1, 2)


def test_the_answer_survives_the_database() -> None:
    assert WhatIfResult.from_json(json.loads(json.dumps(answer().to_json()))) == answer()
    assert WhatIfRequest.from_json(json.loads(json.dumps(WhatIfRequest(3, 50).to_json()))) == WhatIfRequest(3, 50)


def test_reviewed_frames_come_first_then_the_newest(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        of = an_active_set(session, station)
        made = [a_verdict(of, at=NOON - timedelta(minutes=age), score=0.1 * age) for age in range(5)]
        verdicts.record(session, [*made, a_verdict(of, decision="no_reference")])
        newest, second, third, fourth, oldest = (verdict.frame_id for verdict in made)
        for frame in (oldest, second):
            reviews.submit(session, LabelSubmission(uuid4(), frame, "defect"), "mia", NOON)
        found = what_if.frames_to_rescore(session, station.id, 4)
    assert [frame.frame_id for frame in found] == [second, oldest, newest, third]
    assert [frame.label for frame in found] == ["defect", "defect", None, None]
    assert fourth not in [frame.frame_id for frame in found]
