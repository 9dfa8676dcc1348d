"""Where a frame differs, in words and as outlines."""

from urllib.parse import unquote

import pytest

from dashboard.components.picture.where import NAMES, outlines_over, where
from storage.areas.regions import PLACES, Place, Region

SQUARE = ((0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0))


def region(place: Place, share: float = 0.03) -> Region:
    return Region(place, share, (0.0, 0.5, 0.5, 1.0), SQUARE)


@pytest.mark.parametrize(
    ("regions", "text"),
    [
        ([], ""),
        ([region("lower-left")], "lower left, 3.0 % of the picture"),
        ([region("centre", 0.00001)], "centre, 0.1 % of the picture"),
        ([region("left"), region("left"), region("upper")], "left and top, 9.0 % of the picture"),
        ([region("right"), region("left"), region("upper")], "3 places, worst right, 9.0 % of the picture"),
        ([region("everywhere", 0.7)], "all over, 70 % of the picture"),
    ],
)
def test_places_and_share(regions: list[Region], text: str) -> None:
    assert where(regions) == text


def test_a_verdict_of_a_former_version_says_nothing() -> None:
    assert where(None) == ""
    assert outlines_over(None, 640, 480) == ""


def test_every_place_has_a_name() -> None:
    assert set(NAMES) == set(PLACES)


def test_outlines_are_in_pixels_of_the_image_they_lie_over() -> None:
    html = unquote(outlines_over([region("lower-left")], 640, 480))
    assert 'viewBox="0 0 640 480"' in html
    assert 'points="0,240 320,240 320,480 0,480"' in html
    assert 'class="andon-outlines contain"' in html
    assert 'class="andon-outlines cover"' in outlines_over([region("lower-left")], 640, 480, fit="cover")
