"""What the review page says of a frame, as HTML and sentences: pure functions; what came from outside is escaped."""

from datetime import datetime, tzinfo
from html import escape

from dashboard import formatting
from dashboard.components import elements
from storage.line.decision import decide
from storage.line.verdicts import Verdict
from storage.review.labels import LabelCounts
from storage.review.reviews import Review

WORDS = {
    "defect": ("flag", "report", "Defect"),
    "false_alarm": ("good", "verified", "False alarm"),
    "unsure": ("idle", "help", "Unsure"),
    "retracted": ("idle", "undo", "Taken back"),
}
GOOD_PART = "Good part"  # what "false alarm" means on a frame that passed


def word_chip(label: str, decision: str = "flag") -> str:
    tone, symbol, name = WORDS[label]
    if label == "false_alarm" and decision == "pass":
        name = GOOD_PART
    return f'<span class="andon-chip small {tone}">{elements.icon(symbol)}{name}</span>'


def said(review: Review, now: datetime) -> str:
    """A kept word under a small picture: which, with which types, by whom, how long ago."""
    types = f"<i>{escape(', '.join(review.tags))}</i>" if review.tags else ""
    return (
        f'<div class="andon-said" data-word="{review.label}">{word_chip(review.label, review.decision)}{types}'
        f"<span>{escape(review.by)}, {formatting.ago(review.at, now)}</span></div>"
    )


def place_line(station: str, waiting: int | None, *, sampled: bool = False) -> str:
    """Which station, how many frames wait, this one among them, and whether it is here by chance."""
    number = "" if waiting is None else f"<span>{formatting.plural(waiting, 'frame')} waiting</span>"
    chip = f'<span class="andon-chip small idle">{elements.icon("casino")}Random sample</span>' if sampled else ""
    return f'<div class="andon-place"><b>{escape(station)}</b>{chip}{number}</div>'


def big_bar(verdict: Verdict) -> str:
    """Score against threshold: the threshold stands at half of the bar, and both are written where they stand."""
    if verdict.score is None or verdict.threshold is None:
        return '<div class="andon-against">This frame was not scored: its station had no normal set.</div>'
    tone = "flag" if verdict.decision == "flag" else "good"
    reach = 50.0 if verdict.threshold <= 0 else min(100.0, max(0.0, 50 * verdict.score / verdict.threshold))
    return (
        f'<div class="andon-scale {tone}"><div class="andon-bar {tone}"><i style="width:{reach:.1f}%"></i><u></u></div>'
        f'<div class="andon-against"><span>score <b>{formatting.score(verdict.score)}</b></span>'
        f"<span>threshold <b>{formatting.score(verdict.threshold)}</b></span></div>"
        f"<p>{escape(relation(verdict.score, verdict.threshold))}</p></div>"
    )


def relation(score: float, threshold: float) -> str:
    """How far above or below the threshold, in words."""
    flagged = decide(score, threshold) == "flag"
    if threshold <= 0:
        return "Above the threshold." if flagged else "Not above the threshold."
    away = abs(score - threshold) / threshold
    if flagged:
        return f"{formatting.share_of(away)} above the threshold: flagged."
    return "Exactly at the threshold: passed." if score == threshold else f"{formatting.share_of(away)} below: passed."


def why_missed(verdict: Verdict, passed_above: int, frames: int, span: str) -> list[str]:
    """Sentences on why a defect passed and what it would have cost to catch it."""
    if verdict.score is None or verdict.threshold is None:
        return ["This frame was not scored: its station had no normal set when it came, so nothing could be flagged."]
    if verdict.decision == "flag":
        return ["This frame was not missed: it was flagged."]
    first = (
        f"It scored {formatting.score(verdict.score)} and the threshold was {formatting.score(verdict.threshold)}, "
        "so it passed "
        f"{formatting.share_of((verdict.threshold - verdict.score) / (abs(verdict.threshold) or 1))} below it."
    )
    if frames == 0:
        return [first]
    cost = (
        f"A threshold just under {formatting.score(verdict.score)} would have caught it, and flagged "
        f"{formatting.plural(passed_above, 'more frame')} of the {formatting.count(frames)} "
        f"in the {span} around it ({formatting.share(passed_above, frames)})."
    )
    return [first, cost, _advice(passed_above / frames)]


def _advice(share: float) -> str:
    if share <= 0.01:
        return "That is cheap: a lower threshold is worth a try. An engineer can set one on the page Normal sets."
    return (
        "That is much. To this detector the defect looks too much like a good part: see whether the map is warm where "
        "the defect is, whether a picture like it is among the good parts, and whether the lamp could show it better."
    )


def tally(mine: int, counts: list[LabelCounts]) -> str:
    """What was said today, all in all."""
    caught = sum(each.flagged_defect for each in counts)
    false = sum(each.flagged_false_alarm for each in counts)
    missed = sum(each.passed_defect for each in counts)
    figures = (
        (mine, "said by you"),
        (caught, "defect caught" if caught == 1 else "defects caught"),
        (false, "false alarm" if false == 1 else "false alarms"),
        (missed, "escape" if missed == 1 else "escapes"),
    )
    return (
        '<div class="andon-tally">'
        + "".join(f"<span><b>{formatting.count(number)}</b> {name}</span>" for number, name in figures)
        + "</div>"
    )


def result_thumb(verdict: Verdict, now: datetime, zone: tzinfo) -> str:
    return elements.thumb(verdict, formatting.clock(verdict.captured_at, now, zone), chosen=False)
