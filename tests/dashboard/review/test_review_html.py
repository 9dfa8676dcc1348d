"""Sentences and marks of the review page and of the page Normal sets."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from dashboard import formatting
from dashboard.normals import image_checks
from dashboard.review import defect_types, review_html
from storage.line.normal_sets import NormalImage
from storage.review.labels import LabelCounts
from storage.review.reviews import Review
from tests.dashboard.seeding import bare

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fraction", "said"), [(0.0, "0 %"), (0.0004, "0.1 %"), (0.034, "3.4 %"), (0.1249, "12 %"), (1.5, "150 %")]
)
def test_a_share_has_a_digit_after_the_point_where_it_matters(fraction: float, said: str) -> None:
    assert formatting.share_of(fraction) == said


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (0.451, "10 % above the threshold: flagged."),
        (0.41, "Exactly at the threshold: passed."),
        (0.369, "10 % below: passed."),
    ],
)
def test_how_far_a_score_lies_from_the_threshold_is_said_in_words(score: float, said: str) -> None:
    assert review_html.relation(score, 0.41) == said


def test_the_bar_s_threshold_stands_at_half_and_the_score_where_it_is() -> None:
    assert "width:50.0%" in review_html.big_bar(bare(NOON, 0.41))
    assert "width:25.0%" in review_html.big_bar(bare(NOON, 0.205))
    assert "width:100.0%" in review_html.big_bar(bare(NOON, 2.0))


def test_an_escape_that_was_cheap_to_catch_is_told_from_a_dear_one() -> None:
    cheap = review_html.why_missed(bare(NOON, 0.40), 8, 1000, "day")
    dear = review_html.why_missed(bare(NOON, 0.20), 400, 1000, "day")
    assert cheap[1].endswith("flagged 8 more frames of the 1,000 in the day around it (0.8 %).")
    assert cheap[2].startswith("That is cheap")
    assert dear[2].startswith("That is much")
    assert review_html.why_missed(bare(NOON, 0.9), 0, 0, "day") == ["This frame was not missed: it was flagged."]


def test_what_people_wrote_is_escaped() -> None:
    hostile = "<script>alert(1)</script>"
    of = bare(NOON, 0.5).frame_id
    review = Review(1, of, of, 1, NOON, "flag", "defect", None, (hostile,), "", hostile, NOON)
    fact = image_checks.ImageCheck(NormalImage("sha256:0", hostile), None, (hostile,), stands_out=True)
    for html in (review_html.said(review, NOON), image_checks.image_line(fact), review_html.place_line(hostile, 3)):
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_the_tally_counts_words_of_all_stations() -> None:
    counts = [
        LabelCounts(1, flagged_defect=2, passed_defect=1),
        LabelCounts(2, flagged_defect=1, flagged_false_alarm=4),
    ]
    said = review_html.tally(1, counts)
    for each in (
        "<b>1</b> said by you",
        "<b>3</b> defects caught",
        "<b>4</b> false alarms",
        "<b>1</b> escape<",
    ):
        assert each in said


def test_a_station_s_own_types_come_first_the_most_frequent_of_all_first() -> None:
    offered = defect_types.offered(Counter({"burr": 3, "": 9, "dent": 5, "chip": 3}))
    assert offered == ["dent", "burr", "chip", "scratch", "crack", "stain", "hole", "missing part", "wrong part"]


def test_a_picked_frame_s_name_is_when_it_was_captured() -> None:
    assert image_checks.short("frame 0190-7 of 2026-11-24 08:25:40") == "2026-11-24 08:25:40"
    assert image_checks.short("cup of tea.jpg") == "cup of tea.jpg"
