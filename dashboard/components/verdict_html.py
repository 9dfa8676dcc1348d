"""A verdict's provenance and a threshold's promise, as HTML; whatever came from outside is escaped."""

from datetime import tzinfo
from html import escape

from dashboard import formatting
from dashboard.components import elements
from storage.line.dead_letters import DeadLetter
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict


def verdict_line(verdict: Verdict, zone: tzinfo) -> str:
    """The decision in large type, when it was captured, and what the truth was, when it is known."""
    truth = (
        f'<span class="andon-chip idle">{elements.icon("fact_check")}truth: {escape(verdict.truth)}</span>'
        if verdict.truth
        else ""
    )
    part = f" · part {escape(verdict.part_id)}" if verdict.part_id else ""
    return (
        f'<div class="andon-verdict" data-frame="{verdict.frame_id}">{elements.decision_chip(verdict)}{truth}'
        f"<span>{formatting.moment(verdict.captured_at, zone)}{part}</span></div>"
    )


def score_bar(verdict: Verdict) -> str:
    """How far the score lies from the threshold; the threshold stands at half of the bar."""
    if verdict.score is None or verdict.threshold is None:
        return '<div class="andon-against">This frame was not scored: its station had no normal set.</div>'
    tone = "flag" if verdict.decision == "flag" else "good"
    reach = 50.0 if verdict.threshold <= 0 else min(100.0, max(0.0, 50 * verdict.score / verdict.threshold))
    relation = "above" if verdict.decision == "flag" else "not above"
    return (
        f'<div class="andon-bar {tone}"><i style="width:{reach:.1f}%"></i><u></u></div>'
        f'<div class="andon-against"><span>score <b>{formatting.score(verdict.score)}</b></span>'
        f"<span>{relation} the threshold <b>{formatting.score(verdict.threshold)}</b></span></div>"
    )


def provenance(verdict: Verdict, normal_set: NormalSet | None, zone: tzinfo) -> str:
    """Everything the verdict was made with and where its frame came from, name by name."""
    latency_ms = (verdict.decided_at - verdict.captured_at).total_seconds() * 1000
    scored_ms = (verdict.decided_at - verdict.published_at).total_seconds() * 1000
    pairs: list[tuple[str, str | None]] = [
        ("Captured", formatting.moment(verdict.captured_at, zone)),
        ("Published", formatting.moment(verdict.published_at, zone)),
        ("Decided", formatting.moment(verdict.decided_at, zone)),
        ("Trigger to verdict", f"{latency_ms:,.0f} ms, of which {scored_ms:,.0f} ms after publishing"),
        ("Score", formatting.score(verdict.score)),
        ("Threshold", formatting.score(verdict.threshold)),
        ("Truth label", verdict.truth or "not known"),
        ("Part", verdict.part_id),
        ("Normal set", f"version {normal_set.version}, {len(normal_set.images)} images" if normal_set else None),
        ("Detector", verdict.detector),
        ("Model id", verdict.model_id),
        ("Weights sha256", verdict.weights_sha256),
        ("Worker", verdict.worker),
        ("Place on the bus", f"{verdict.topic} / {verdict.partition} / {verdict.offset}"),
        ("Frame id", str(verdict.frame_id)),
        ("Image", f"{verdict.image_reference} ({verdict.content_type})"),
    ]
    return table(pairs)


def table(pairs: list[tuple[str, str | None]]) -> str:
    """Names and values; a value that is None reads as a dash."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value or '–')}</dd></div>" for name, value in pairs)
    return f'<dl class="andon-facts">{rows}</dl>'


def letter(told: DeadLetter, zone: tzinfo) -> str:
    """Where a dead letter came from, with its headers; bytes that are no text are shown as hexadecimal."""
    headers = "; ".join(f"{name}: {_text(value)}" for name, value in told.headers)
    return table(
        [
            ("Met", formatting.moment(told.occurred_at, zone)),
            ("Place on the bus", f"{told.topic} / {told.partition} / {told.offset}"),
            ("Station it claims", told.station),
            ("Key", told.key),
            ("Headers", headers or "none"),
            ("Payload", f"{formatting.size(told.payload_bytes)}, {told.payload_reference}"),
            ("Replayed", formatting.moment(told.replayed_at, zone) if told.replayed_at else "no"),
        ]
    )


def station(place: Station, zone: tzinfo) -> str:
    """A station's settings in words."""
    settings = place.settings
    without = "frames wait" if settings.without_normals == "wait" else "frames pass without a verdict"
    return table(
        [
            ("Without a normal set", without),
            ("Framing", settings.framing.replace("_", " ")),
            ("False rejects aimed at", f"{100 * settings.false_reject_rate:g} %"),
            ("Counts as silent after", formatting.seconds(settings.stale_after_s)),
            ("Added", formatting.moment(place.created_at, zone)),
        ]
    )


def history(version: NormalSet, zone: tzinfo) -> str:
    """How many images, since when, and the note."""
    said = [formatting.plural(len(version.images), "good part")]
    if version.state == "active" and version.activated_at:
        said.append(f"active since {formatting.moment(version.activated_at, zone)[:-4]}")
    elif version.retired_at:
        said.append(f"retired {formatting.moment(version.retired_at, zone)[:-4]}")
    else:
        said.append(f"made {formatting.moment(version.created_at, zone)[:-4]}")
    return " · ".join([*said, *([version.note] if version.note else [])])


def promise(threshold: Threshold) -> str:
    """A threshold, and in words what it can promise."""
    return (
        f'<div class="andon-promise"><b>{formatting.score(threshold.value)}</b><div><span>threshold, aimed at '
        f"{100 * threshold.false_reject_rate:g} % false rejects</span><p>{escape(threshold.guarantee)}</p></div></div>"
    )


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
