"""A verdict as HTML: its decision, its score against the threshold, and its provenance."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from markupsafe import Markup

from dashboard import formatting
from dashboard.components import elements
from dashboard.components.picture.where import where
from dashboard.components.score_scale import on_scale, rounded
from dashboard.html import render
from imaging.quality.picture_problem import explain
from storage.line.decision import Decision, decide
from storage.line.normal_sets import NormalSet
from storage.line.verdicts import Verdict

TEMPLATE = "components/verdict.html"


@dataclass(frozen=True, slots=True)
class DecisionStyle:
    """How a decision is shown: `tone` is a CSS class, `symbol` a Material symbol."""

    tone: str
    symbol: str
    text: str


DECISIONS: Mapping[Decision, DecisionStyle] = {
    "pass": DecisionStyle("good", "check", "Pass"),
    "flag": DecisionStyle("flag", "flag", "Flagged"),
    "no_reference": DecisionStyle("idle", "help", "No reference"),
    "bad_picture": DecisionStyle("unseen", "visibility_off", "Bad picture"),
}
BORDERLINE = DecisionStyle("borderline", "rate_review", "Borderline")


def style(verdict: Verdict) -> DecisionStyle:
    """Return how the decision on a frame is shown; a borderline frame passed and is shown as neither."""
    return BORDERLINE if verdict.is_borderline else DECISIONS[verdict.decision]


def headline(verdict: Verdict, zone: tzinfo) -> Markup:
    """Return the decision in large type, the time of capture, the part and, where it is known, the ground truth."""
    captured = formatting.timestamp(verdict.captured_at, zone)
    return render(TEMPLATE, "headline", verdict, style(verdict), captured)


def _camera_clock(verdict: Verdict, zone: tzinfo) -> list[tuple[str, str]]:
    """Return the time that the camera stamped the frame with, where it can't be true."""
    if verdict.stamped_at is None:
        return []
    stamp = formatting.timestamp(verdict.stamped_at, zone)
    return [("Camera's clock", f"{stamp}, which can't be true: the time of arrival is used")]


def score_bar(verdict: Verdict) -> Markup:
    """Return a bar that shows the score on a scale with the threshold at 50 of 100; else why there is no score.

    The review limit is left of the threshold, where the recipe had one below it. Values in the detector's own unit are
    in titles, and in text for screen readers.
    """
    if verdict.picture_problem is not None:
        return bad_picture(verdict.picture_problem)
    if verdict.score is None or verdict.threshold is None:
        return render(TEMPLATE, "not_scored")
    limit = verdict.review_limit
    return render(
        TEMPLATE,
        "score_bar",
        verdict,
        style(verdict).tone,
        on_scale(verdict.score, verdict.threshold),
        rounded(verdict.score, verdict.threshold),
        None if limit is None or limit == verdict.threshold else on_scale(limit, verdict.threshold),
        distance_from_threshold(verdict),
        where(verdict.regions),
    )


def bad_picture(problem: str) -> Markup:
    """Return why a picture is bad, and where to look."""
    return render(TEMPLATE, "bad_picture", DECISIONS["bad_picture"], explain(problem))


def distance_from_threshold(verdict: Verdict) -> str:
    """Return as text how far a score is from its threshold, relative to the threshold, and the decision."""
    if verdict.score is None or verdict.threshold is None:
        return ""
    decision = "borderline" if verdict.is_borderline else "flagged" if verdict.decision == "flag" else "passed"
    if verdict.score == verdict.threshold:
        return f"At the threshold: {decision}."
    side = "above" if decide(verdict.score, verdict.threshold) == "flag" else "below"
    if verdict.threshold <= 0:
        return f"Score {side} the threshold: {decision}."
    distance = abs(verdict.score - verdict.threshold) / verdict.threshold
    return f"{formatting.fraction(distance)} {side} the threshold: {decision}."


def thumbnail_caption(verdict: Verdict, now: datetime, zone: tzinfo, *, selected: bool = False) -> Markup:
    """Return the caption of a thumbnail: the time of capture, the decision and the score."""
    captured = formatting.clock(verdict.captured_at, now, zone)
    return render(TEMPLATE, "thumbnail_caption", style(verdict), verdict.score, captured, selected)


def provenance(verdict: Verdict, normal_set: NormalSet | None, zone: tzinfo) -> Markup:
    """Return everything that the verdict was made with, and where its frame came from."""
    latency_ms = (verdict.decided_at - verdict.captured_at).total_seconds() * 1000
    after_publishing_ms = (verdict.decided_at - verdict.published_at).total_seconds() * 1000
    return elements.description_list(
        [
            ("Captured", formatting.timestamp(verdict.captured_at, zone)),
            *_camera_clock(verdict, zone),
            ("Published", formatting.timestamp(verdict.published_at, zone)),
            *([("Problem", verdict.picture_problem)] if verdict.picture_problem else []),
            ("Decided", formatting.timestamp(verdict.decided_at, zone)),
            ("Latency", f"{latency_ms:,.0f} ms from capture to verdict, {after_publishing_ms:,.0f} ms from publishing"),
            ("Score", formatting.score(verdict.score)),
            ("Threshold", formatting.score(verdict.threshold)),
            *([("Review limit", formatting.score(verdict.review_limit))] if verdict.review_limit is not None else []),
            *([("Ground truth", verdict.truth)] if verdict.truth else []),
            ("Part", verdict.part_id),
            ("Normal set", f"version {normal_set.version}, {len(normal_set.images)} images" if normal_set else None),
            *([("Mask", f"version {verdict.mask_version}")] if verdict.mask_version else []),
            ("Detector", verdict.detector),
            ("Model id", verdict.model_id),
            ("Weights sha256", verdict.weights_sha256),
            ("Scorer", verdict.worker),
            ("Bus position", f"{verdict.topic} / {verdict.partition} / {verdict.offset}"),
            ("Frame id", str(verdict.frame_id)),
            ("Image", f"{verdict.image_reference} ({verdict.content_type})"),
        ]
    )
