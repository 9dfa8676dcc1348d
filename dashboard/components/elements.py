"""Small pieces of HTML that several pages share."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboard.html import render

TEMPLATE = "components/elements.html"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a strip; `tone` is ``warn``, ``bad`` or ``unseen`` for one that needs attention."""

    name: str
    value: str
    note: str = ""
    tone: str = ""


def heading(text: str, note: str = "") -> Markup:
    """Return the heading of a card, with a note beside it."""
    return render(TEMPLATE, "heading", text, note)


def metrics(*values: Metric) -> Markup:
    """Return a row of large numbers."""
    return render(TEMPLATE, "metrics", values)


def placeholder(symbol: str, text: str, *commands: str) -> Markup:
    """Return the placeholder for an image or a chart, with the commands that would fill it."""
    return render(TEMPLATE, "placeholder", symbol, text, commands)


def no_thumbnail() -> Markup:
    """Return the placeholder for a thumbnail that can't be shown."""
    return render(TEMPLATE, "no_thumbnail")


def description_list(rows: Sequence[tuple[str, str | None]]) -> Markup:
    """Return a list of names and values; a missing value is shown as a dash."""
    return render(TEMPLATE, "description_list", rows)
