"""The HTML templates: everything is escaped, nothing is left undefined, and each template is packaged."""

import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from dashboard.components import elements
from dashboard.components.elements import Metric
from dashboard.html import render

ROOT = Path(__file__).parents[2]
HOSTILE = '<img src=x onerror="harm()">'


def test_values_are_escaped_in_text_and_in_attributes() -> None:
    for html in (
        elements.heading(HOSTILE, HOSTILE),
        elements.metrics(Metric(HOSTILE, HOSTILE, HOSTILE, HOSTILE)),
        elements.placeholder(HOSTILE, HOSTILE, HOSTILE),
        elements.description_list([(HOSTILE, HOSTILE)]),
    ):
        assert isinstance(html, Markup)
        assert "<img" not in html
        assert 'onerror="' not in html


def test_html_that_is_made_by_a_template_is_not_escaped_again() -> None:
    inner = elements.heading("Defect")
    assert inner in render("normals/normals.html", "flip_line", Flip(), inner)


class Flip:
    """A flip as the template reads it."""

    old_score, new_score = 0.5, 0.3


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("components/elements.html", "metrics", [object()])


def test_every_template_is_in_the_package() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["dashboard"]
    packaged = {path for pattern in patterns for path in (ROOT / "dashboard").glob(pattern)}
    assert set((ROOT / "dashboard").rglob("*.html")) <= packaged
