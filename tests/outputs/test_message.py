"""The JSON form of a message is what receivers rely on."""

import json
from dataclasses import replace
from datetime import timedelta, timezone

from outputs.message import message_of
from storage.line.normal_sets import NormalSet
from storage.outputs.pending import PendingVerdict
from tests.outputs.examples import MESSAGE
from tests.storage.examples import NOON, make_verdict

NORMAL_SET = NormalSet(3, 1, 1, "active", "", (), NOON, NOON, None)


def test_the_json_form_of_version_1() -> None:
    assert json.loads(MESSAGE.to_json()) == {
        "version": 1,
        "verdict_id": 7,
        "frame_id": "00000000-0000-0000-0000-000000000007",
        "station": "s1",
        "part_id": "part 7",
        "captured_at": "2026-03-14T12:00:00.000000Z",
        "decided_at": "2026-03-14T12:00:00.250001Z",
        "decision": "flag",
        "score": 0.75,
        "threshold": 0.5,
        "components": {"patch": 0.75},
        "detector": "nearest-patch",
        "model_id": "0c5f",
        "weights_sha256": "b" * 64,
        "normal_set_id": 3,
        "image_reference": f"sha256:{'a' * 64}",
        "map_reference": None,
        "worker": "worker-1",
        "picture_problem": None,
        "review_limit": 0.4,
        "borderline": False,
        "mask_version": 0,
        "regions": [
            {
                "place": "lower-left",
                "share": 0.03,
                "box": [0.0, 0.7, 0.3, 1.0],
                "outline": [[0.0, 0.7], [0.3, 1.0], [0.0, 1.0]],
            }
        ],
    }


def test_a_borderline_frame_passes_and_says_so() -> None:
    verdict = make_verdict(NORMAL_SET, score=0.45, review_limit=0.4)
    message = json.loads(message_of(PendingVerdict(7, "s1", verdict)).to_json())
    assert (message["decision"], message["borderline"], message["review_limit"]) == ("pass", True, 0.4)
    former = json.loads(message_of(PendingVerdict(8, "s1", replace(verdict, review_limit=None))).to_json())
    assert (former["decision"], former["borderline"], former["review_limit"]) == ("pass", False, None)


def test_a_message_is_one_line_whatever_a_part_is_called() -> None:
    line = replace(MESSAGE, part_id="Öse\n7\u2028\r").to_json()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["part_id"] == "Öse\n7\u2028\r"


def test_times_are_utc_whatever_zone_they_have() -> None:
    tokyo = MESSAGE.captured_at.astimezone(timezone(timedelta(hours=9)))
    assert json.loads(replace(MESSAGE, captured_at=tokyo).to_json())["captured_at"] == "2026-03-14T12:00:00.000000Z"
