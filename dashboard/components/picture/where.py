"""Where a frame differs, in words and as outlines over its picture."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from markupsafe import Markup

from dashboard import formatting
from dashboard.html import render
from storage.areas.regions import Place, Point, Region

NAMES: Mapping[Place, str] = {
    "upper-left": "upper left",
    "upper": "top",
    "upper-right": "upper right",
    "left": "left",
    "centre": "centre",
    "right": "right",
    "lower-left": "lower left",
    "lower": "bottom",
    "lower-right": "lower right",
    "everywhere": "all over",
}
TEMPLATE = "components/where.html"
STROKES_PER_SIDE = 90
"""A line is this part of the longer side."""

NAMED = 2
"""More places than these are counted."""


def where(regions: Sequence[Region] | None) -> str:
    """Return the places of regions and their share of the picture, as ``lower left, 3 % of the picture``."""
    if not regions:
        return ""
    names = list(dict.fromkeys(NAMES[region.place] for region in regions))
    share = f"{formatting.fraction(min(1.0, sum(region.share for region in regions)))} of the picture"
    if len(names) > NAMED:
        return f"{len(names)} places, worst {names[0]}, {share}"
    return f"{' and '.join(names)}, {share}"


def points(outline: Sequence[Point]) -> str:
    """Return a polygon as SVG takes its points."""
    return " ".join(f"{x:g},{y:g}" for x, y in outline)


def outlines_over(regions: Sequence[Region] | None, width: int, height: int, fit: str = "contain") -> Markup:
    """Return the outlines of regions as an SVG image, to lie over another image; nothing without regions.

    An image is what Streamlit lets through: it removes SVG elements from a page's HTML.

    Args:
        regions: The regions of a verdict.
        width: Width of the image below in pixels.
        height: Height of the image below in pixels.
        fit: How that image fills its box: ``contain`` shows all of it, ``cover`` fills the box.
    """
    if not regions:
        return Markup()
    polygons = [points([(round(x * width, 1), round(y * height, 1)) for x, y in region.outline]) for region in regions]
    stroke = round(max(width, height) / STROKES_PER_SIDE, 2)
    svg = render(TEMPLATE, "outlines", polygons, width, height, stroke)
    return render(TEMPLATE, "outlines_image", quote(svg), where(regions), fit)
