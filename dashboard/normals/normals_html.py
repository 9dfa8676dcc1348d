"""Normal sets and thresholds as HTML and sentences: pure functions of rows."""

from datetime import tzinfo

from markupsafe import Markup

from dashboard import formatting
from dashboard.components import elements
from dashboard.html import render
from dashboard.review import review_html
from storage.learning.defect_sets import DefectSet
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.line.what_if import DecisionFlip

TEMPLATE = "normals/normals.html"


def guarantee(threshold: Threshold) -> Markup:
    """Return a threshold in large type, with its false-reject rate and what it guarantees, and the review limit."""
    return render(TEMPLATE, "guarantee", threshold, f"{100 * threshold.false_reject_rate:g}")


def defect_set(newest: DefectSet) -> Markup:
    """Return how many labelled defects a defect set catches, and what the normals alone would."""
    return render(TEMPLATE, "defect_set", newest)


def version_summary(version: NormalSet, zone: tzinfo) -> str:
    """Return how many images a version has, since when it is in its state, and its note."""
    parts = [formatting.plural(len(version.images), "good part")]
    if version.state == "active" and version.activated_at:
        parts.append(f"active since {formatting.date_and_time(version.activated_at, zone)}")
    elif version.retired_at:
        parts.append(f"retired {formatting.date_and_time(version.retired_at, zone)}")
    else:
        parts.append(f"created {formatting.date_and_time(version.created_at, zone)}")
    return " · ".join([*parts, *([version.note] if version.note else [])])


def station_settings(station: Station, zone: tzinfo) -> Markup:
    """Return the settings of a station as a list."""
    settings = station.settings
    without = "frames wait" if settings.without_normals == "wait" else "frames are not scored"
    return elements.description_list(
        [
            ("Without a normal set", without),
            ("Framing", settings.framing.replace("_", " ")),
            ("False-reject rate", f"{100 * settings.false_reject_rate:g} %"),
            ("Silent after", formatting.latency(settings.stale_after_s)),
            ("Added", formatting.date_and_time(station.created_at, zone)),
        ]
    )


def flip_line(flip: DecisionFlip) -> Markup:
    """Return the old and the new score of a frame whose decision would change, and its label."""
    label = review_html.label_chip(flip.label) if flip.label else Markup("")
    return render(TEMPLATE, "flip_line", flip, label)
