"""The review page's HTML and sentences: pure functions of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from dashboard import formatting
from dashboard.html import render
from imaging.quality.picture_problem import explain
from storage.line.thresholds import Threshold, ThresholdKind
from storage.line.verdicts import Verdict
from storage.review.labels import LabelCounts
from storage.review.reviews import Review, ReviewLabel

TEMPLATE = "review/review.html"
GOOD_PART = "Good part"
LEARNT: tuple[ThresholdKind, ...] = ("estimated", "reviewed")  # from the stream
CHEAP_SHARE = 0.01  # flagging up to this share more frames to catch a defect counts as cheap


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """How a label is shown: a CSS class, a Material symbol and its name."""

    tone: str
    symbol: str
    text: str


LABEL_STYLES: Mapping[ReviewLabel, LabelStyle] = {
    "defect": LabelStyle("flag", "report", "Defect"),
    "false_alarm": LabelStyle("good", "verified", "False reject"),
    "unsure": LabelStyle("idle", "help", "Unsure"),
    "retracted": LabelStyle("idle", "undo", "Undone"),
}
GOOD = LabelStyle("good", "verified", GOOD_PART)


def label_style(label: ReviewLabel, decision: str) -> LabelStyle:
    """Return how a label is shown; a good part that passed, or was not judged, is no false reject."""
    return GOOD if label == "false_alarm" and decision != "flag" else LABEL_STYLES[label]


def label_chip(label: ReviewLabel, decision: str = "flag") -> Markup:
    """Return a label as a small coloured chip."""
    return render(TEMPLATE, "label_chip", label_style(label, decision))


def review_line(review: Review, now: datetime) -> Markup:
    """Return a review in one line: the label, its defect types, who and when."""
    style = label_style(review.label, review.decision)
    return render(TEMPLATE, "review_line", style, review, formatting.ago(review.at, now))


def queue_line(station: str, queued: int | None, *, sampled: bool = False, asked: bool = False) -> Markup:
    """Return the station, the number of frames in the queue, and whether this one was drawn or asked about."""
    return render(TEMPLATE, "queue_line", station, queued, sampled, asked)


def asking(station: str, asked: int, others: int) -> Markup:
    """Return that a station asks about frames, and how many other stations ask."""
    return render(TEMPLATE, "asking", station, asked, others)


def limits_moved(changes: Sequence[str]) -> Markup:
    """Return how answers moved the limits, a line per station."""
    return render(TEMPLATE, "limits_moved", changes)


def limits_change(before: Threshold, after: Threshold) -> str:
    """Return how an answer moved the limits, and what they are made from now; empty where it moved none.

    A threshold of another normal set, or one that a person set, is no effect of an answer. With another model the
    labelled defects came to count, or no longer do: its scores can't be compared.
    """
    if after.normal_set_id != before.normal_set_id or after.kind not in LEARNT:
        return ""
    if after.model_id != before.model_id:
        return f"other scores by the labelled defects, threshold {formatting.score(after.value)} ({after.reason})"
    pairs = [
        ("threshold", formatting.score(before.value), formatting.score(after.value)),
        ("review limit", formatting.score(before.review_limit), formatting.score(after.review_limit)),
    ]
    moved = ", ".join(f"{name} {old} → {new}" for name, old, new in pairs if old != new)
    return f"{moved} ({after.reason})" if moved else ""


def selection(selected: int, shown: int) -> Markup:
    """Return how many of the frames on the screen are selected."""
    return render(TEMPLATE, "selection", selected, shown)


def today(own_count: int, counts: Sequence[LabelCounts]) -> Markup:
    """Return how many labels were given today: by this person, and by everybody on all stations."""
    caught = sum(station.flagged_defect for station in counts)
    false_rejects = sum(station.flagged_false_alarm for station in counts)
    escapes = sum(station.passed_defect for station in counts)
    return render(
        TEMPLATE,
        "today",
        [
            (own_count, "labelled by you"),
            (caught, "defect caught" if caught == 1 else "defects caught"),
            (false_rejects, "false reject" if false_rejects == 1 else "false rejects"),
            (escapes, "escape" if escapes == 1 else "escapes"),
        ],
    )


def why_passed(
    verdict: Verdict, passed_above: int, frames: int, span: str, *, defects_above: int = 0, good_above: int = 0
) -> list[str]:
    """Return sentences on why a defect passed, and how many more frames a threshold that catches it would flag.

    Args:
        verdict: The frame's verdict.
        passed_above: How many other frames scored as high as this one and passed.
        frames: The number of frames.
        span: The time they were counted over, such as ``day``.
        defects_above: How many of those above people labelled a defect.
        good_above: How many of those above people labelled good.
    """
    if verdict.picture_problem is not None:
        return ["This frame did not pass: it is a bad picture and was not scored.", explain(verdict.picture_problem)]
    if verdict.score is None or verdict.threshold is None:
        return ["This frame was not scored: its station had no normal set at that time, so nothing could be flagged."]
    if verdict.decision == "flag":
        return ["This frame was not missed: it was flagged."]
    score, threshold = formatting.score(verdict.score), formatting.score(verdict.threshold)
    below = formatting.fraction((verdict.threshold - verdict.score) / (abs(verdict.threshold) or 1))
    first = f"It scored {score} and the threshold was {threshold}, so it passed {below} below it."
    if verdict.is_borderline:
        first += f" That is borderline: above the review limit of {formatting.score(verdict.review_limit)}, for review."
    if frames == 0:
        return [first]
    cost = (
        f"A threshold just below {score} would have flagged it, and {formatting.plural(passed_above, 'more frame')} "
        f"of the {formatting.count(frames)} in the {span} around it ({formatting.share(passed_above, frames)})."
    )
    if defects_above or good_above:
        cost += f" Of those people labelled {defects_above} a defect and {good_above} good."
    return [first, cost, _advice(passed_above, defects_above, good_above, frames)]


def _advice(passed_above: int, defects_above: int, good_above: int, frames: int) -> str:
    """Return what to do: a frame above that nobody reviewed may be good or a defect, and counts as neither."""
    if (passed_above - defects_above) / frames <= CHEAP_SHARE:
        return "That is few: consider a lower threshold. An engineer can set one on the page Normal sets."
    if good_above / frames <= CHEAP_SHARE:
        return (
            "Whether those are good parts nobody knows yet: review them first. If they are defects, a lower threshold "
            "catches them too."
        )
    return (
        "That is many: for this detector the defect looks like a good part. Check whether the anomaly map is high "
        "where the defect is, whether the normal set contains a similar image, and whether other lighting would show "
        "the defect better."
    )
