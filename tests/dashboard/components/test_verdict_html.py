"""A verdict as HTML."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dashboard.components import verdict_html
from imaging.quality.picture_problem import EXPLANATIONS, PictureProblem
from tests.dashboard.seeding import bare

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("score", "relation"),
    [
        (0.451, "10 % above the threshold: flagged."),
        (0.41, "At the threshold: passed."),
        (0.369, "10 % below the threshold: passed."),
    ],
)
def test_the_distance_from_the_threshold_is_relative_to_it(score: float, relation: str) -> None:
    assert verdict_html.distance_from_threshold(bare(NOON, score)) == relation


@pytest.mark.parametrize(("score", "width"), [(0.41, "50.0"), (0.205, "25.0"), (0.82, "75.0")])
def test_the_threshold_is_in_the_middle_of_the_score_bar(score: float, width: str) -> None:
    assert f"width:{width}%" in verdict_html.score_bar(bare(NOON, score))


def test_a_borderline_frame_is_amber_and_not_called_passed() -> None:
    borderline = replace(bare(NOON, 0.369), review_limit=0.35)
    assert borderline.decision == "pass"
    caption = verdict_html.thumbnail_caption(borderline, NOON, UTC)
    headline = verdict_html.headline(borderline, UTC)
    assert '<b class="borderline">' in caption
    assert 'andon-chip  borderline"' in headline
    assert "Borderline" in headline
    assert "Pass" not in headline
    assert verdict_html.distance_from_threshold(borderline) == "10 % below the threshold: borderline."


@pytest.mark.parametrize(
    ("score", "review_limit", "text"),
    [(0.35, 0.35, "Pass"), (0.36, 0.35, "Borderline"), (0.42, 0.35, "Flagged"), (0.40, None, "Pass")],
)
def test_a_frame_is_borderline_between_the_two_limits(score: float, review_limit: float | None, text: str) -> None:
    assert verdict_html.style(replace(bare(NOON, score), review_limit=review_limit)).text == text


def test_the_review_limit_is_left_of_the_threshold_on_the_score_bar() -> None:
    html = verdict_html.score_bar(replace(bare(NOON, 0.2), review_limit=0.328))
    assert '<u class="limit" style="left:40.0%">' in html
    assert "review limit <b>0.328</b>" in html  # for screen readers
    assert "review limit <b>40</b>" in html


@pytest.mark.parametrize("review_limit", [None, 0.41])
def test_a_score_bar_without_a_lower_review_limit_shows_none(review_limit: float | None) -> None:
    html = verdict_html.score_bar(replace(bare(NOON, 0.2), review_limit=review_limit))
    assert "review limit" not in html
    assert 'class="limit"' not in html


def test_a_frame_without_score_has_no_bar() -> None:
    assert "andon-bar" not in verdict_html.score_bar(bare(NOON, None))


def test_a_bad_picture_has_its_explanation_in_place_of_a_bar() -> None:
    html = verdict_html.score_bar(replace(bare(NOON, None), decision="bad_picture", picture_problem="blurred"))
    assert EXPLANATIONS[PictureProblem.BLURRED] in html
    assert "andon-bar" not in html


def test_what_a_producer_wrote_is_escaped() -> None:
    hostile = "<b>x"
    verdict = replace(bare(NOON, 0.5), part_id=hostile, truth=hostile, worker=hostile)
    for html in (verdict_html.headline(verdict, UTC), verdict_html.provenance(verdict, None, UTC)):
        assert hostile not in html
        assert "&lt;b&gt;x" in html
