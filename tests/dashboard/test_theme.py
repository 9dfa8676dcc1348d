import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from dashboard.theme import DARK, LIGHT, Palette, palette, style_sheet

CONFIG = tomllib.loads((Path(__file__).parents[2] / "dashboard/app/.streamlit/config.toml").read_text())


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=lambda colours: colours.name)
def test_streamlit_s_widgets_have_the_same_colours(colours: Palette) -> None:
    theirs = CONFIG["theme"][colours.name]
    assert theirs["backgroundColor"] == colours.background
    assert theirs["secondaryBackgroundColor"] == colours.surface
    assert theirs["textColor"] == colours.text
    assert theirs["primaryColor"] == theirs["blueColor"] == colours.accent
    assert theirs["borderColor"] == colours.border
    assert (theirs["redColor"], theirs["orangeColor"], theirs["greenColor"]) == (
        colours.bad,
        colours.flag,
        colours.good,
    )


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=lambda colours: colours.name)
def test_text_has_enough_contrast(colours: Palette) -> None:
    pairs = [
        (colours.text, colours.background),
        (colours.text, colours.surface),
        (colours.secondary_text, colours.surface),
        (colours.secondary_text, colours.background),
        (colours.good, colours.good_tint),
        (colours.flag, colours.flag_tint),
        (colours.flag, colours.surface),
        (colours.borderline, colours.borderline_tint),
        (colours.borderline, colours.surface),
        ("#2b2100", "#ffd24a"),  # a tag over an image, in both themes
        (colours.bad, colours.bad_tint),
        (colours.surface, colours.bad),
        (colours.idle, colours.idle_tint),
        (colours.unseen, colours.unseen_tint),
        (colours.unseen, colours.surface),
        ("#ffffff", LIGHT.unseen),  # a tag over an image, in both themes
    ]
    assert {pair: round(contrast(*pair), 2) for pair in pairs if contrast(*pair) < 4.5} == {}


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=lambda colours: colours.name)
def test_bars_and_lines_of_borderline_scores_are_seen(colours: Palette) -> None:
    assert contrast(colours.borderline_mark, colours.surface) >= 3


def test_a_browser_without_a_theme_gets_light_colours() -> None:
    assert palette(None) is LIGHT
    assert palette("dark") is DARK


def test_the_style_sheet_uses_only_colours_of_the_palette() -> None:
    sheet = style_sheet(DARK)
    used = {part.split(")")[0].split(",")[0] for part in sheet.split("var(--andon-")[1:]}
    given = {name.replace("_", "-") for name in asdict(DARK)}
    assert used - given <= {
        "rows",
        "picture",
        "slot",
    }  # sizes and what is seen, which the sheet and the wall set themselves
