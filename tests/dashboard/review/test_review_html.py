"""The review page's HTML and sentences, and the defect types it offers."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dashboard.review import defect_types, review_html
from imaging.quality.picture_problem import EXPLANATIONS, PictureProblem
from storage.line.thresholds import Threshold
from storage.review.labels import LabelCounts
from storage.review.reviews import Review
from tests.dashboard.seeding import bare

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"


def test_the_advice_on_an_escape_depends_on_how_many_frames_a_lower_threshold_flags() -> None:
    cheap = review_html.why_passed(bare(NOON, 0.40), 8, 1000, "day")
    expensive = review_html.why_passed(bare(NOON, 0.20), 400, 1000, "day", good_above=200)
    assert "8 more frames of the 1,000 in the day around it (0.8 %)" in cheap[1]
    assert "400 more frames of the 1,000 in the day around it (40 %)" in expensive[1]
    assert len(cheap) == len(expensive) == 3
    unknown = review_html.why_passed(bare(NOON, 0.20), 400, 1000, "day", defects_above=10)
    assert "labelled 10 a defect and 0 good" in unknown[1]
    assert len({cheap[2], expensive[2], unknown[2]}) == 3


def test_frames_above_that_are_known_defects_cost_nothing() -> None:
    """Ten frames scored higher, and all ten are defects: a lower threshold flags no good part."""
    known = review_html.why_passed(bare(NOON, 0.40), 10, 100, "day", defects_above=10)
    assert known[2] == review_html.why_passed(bare(NOON, 0.40), 0, 100, "day")[2]


def test_why_a_borderline_frame_passed_names_the_review_limit() -> None:
    borderline = replace(bare(NOON, 0.40), review_limit=0.38)
    assert review_html.why_passed(borderline, 0, 0, "day") == [
        "It scored 0.400 and the threshold was 0.410, so it passed 2.4 % below it. "
        "That is borderline: above the review limit of 0.380, for review."
    ]


BEFORE = Threshold(1, 1, "model", 0.281, 0.01, "", NOON, "scorer-1", "estimated", "120 frames", review_limit=0.25)
REASON = "1234 frames of the stream and 10 answers on the highest of them"
AFTER = replace(BEFORE, value=0.243, review_limit=0.221, kind="reviewed", reason=REASON)


def test_an_answer_that_moved_both_limits_says_from_where_to_where() -> None:
    assert review_html.limits_change(BEFORE, AFTER) == f"threshold 0.281 → 0.243, review limit 0.250 → 0.221 ({REASON})"


def test_a_limit_that_stayed_is_left_out() -> None:
    assert review_html.limits_change(BEFORE, replace(AFTER, value=0.281)) == f"review limit 0.250 → 0.221 ({REASON})"


@pytest.mark.parametrize(
    "after",
    [BEFORE, replace(AFTER, kind="manual"), replace(AFTER, normal_set_id=2)],
    ids=["nothing changed", "set by a person", "another normal set"],
)
def test_a_threshold_that_no_answer_made_says_nothing(after: Threshold) -> None:
    assert review_html.limits_change(BEFORE, after) == ""


def test_an_answer_that_brought_a_head_into_use_compares_no_limits_of_different_scores() -> None:
    said = review_html.limits_change(BEFORE, replace(AFTER, model_id="with a head"))
    assert "0.243" in said
    assert "0.281" not in said


def test_a_flagged_frame_was_not_missed() -> None:
    assert len(review_html.why_passed(bare(NOON, 0.9), 0, 0, "day")) == 1


def test_a_bad_picture_did_not_pass() -> None:
    dark = replace(bare(NOON, None), decision="bad_picture", picture_problem="dark")
    assert review_html.why_passed(dark, 0, 0, "day")[1] == EXPLANATIONS[PictureProblem.DARK]


def test_what_people_wrote_is_escaped() -> None:
    frame_id = bare(NOON, 0.5).frame_id
    review = Review(1, frame_id, frame_id, 1, NOON, "flag", "defect", None, (HOSTILE,), "", HOSTILE, NOON)
    for html in (
        review_html.review_line(review, NOON),
        review_html.queue_line(HOSTILE, 3),
        review_html.asking(HOSTILE, 3, 0),
    ):
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_the_labels_of_today_are_counted_over_all_stations() -> None:
    counts = [
        LabelCounts(1, flagged_defect=2, passed_defect=1),
        LabelCounts(2, flagged_defect=1, flagged_false_alarm=4),
    ]
    html = review_html.today(1, counts)
    numbers = [part.partition("</b>")[0] for part in html.split("<b>")[1:]]
    assert numbers == ["1", "3", "4", "1"]  # own labels, defects caught, false rejects, escapes


def test_a_good_part_that_passed_or_was_not_judged_is_no_false_reject() -> None:
    passed, bad, flagged = (
        review_html.label_style("false_alarm", decision).text for decision in ("pass", "bad_picture", "flag")
    )
    assert passed == bad == review_html.GOOD_PART
    assert flagged != passed


def test_a_station_s_own_types_come_first_the_most_frequent_of_all_first() -> None:
    offered = defect_types.suggested(Counter({"burr": 3, "": 9, "dent": 5, "chip": 3}))
    assert offered == ["dent", "burr", "chip", "scratch", "crack", "stain", "hole", "missing part", "wrong part"]
