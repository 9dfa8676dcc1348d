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


@pytest.mark.parametrize(("score", "width"), [(0.41, "50.0"), (0.205, "25.0"), (2.0, "100.0")])
def test_the_threshold_is_in_the_middle_of_the_score_bar(score: float, width: str) -> None:
    assert f"width:{width}%" in verdict_html.score_bar(bare(NOON, score))


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
