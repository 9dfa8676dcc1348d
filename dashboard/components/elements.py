"""The wall's pieces as HTML: pure functions of rows; whatever came from outside is escaped."""

from datetime import datetime
from html import escape

from dashboard import formatting
from dashboard.station_state import StationState
from storage.line.drops import DropTotal
from storage.line.stations import Station
from storage.line.verdicts import StationSummary, Verdict

MUCH = 5
DECISIONS = {
    "pass": ("good", "check", "Pass"),
    "flag": ("flag", "flag", "Flagged"),
    "no_reference": ("idle", "help", "No reference"),
}


def icon(name: str) -> str:
    """A Material symbol from the font that Streamlit brings; left out for screen readers."""
    return f'<span class="andon-icon" aria-hidden="true">{escape(name)}</span>'


def state_chip(state: StationState) -> str:
    return f'<span class="andon-chip {state.tone}">{icon(state.icon)}{escape(state.headline)}</span>'


def decision_chip(verdict: Verdict) -> str:
    tone, symbol, label = DECISIONS[verdict.decision]
    return f'<span class="andon-chip {tone}">{icon(symbol)}{label}</span>'


def head(station: Station, state: StationState, badge: str = "") -> str:
    """The station's name, what it looks at, and its state; `data-state` is for style sheets and tests.

    `badge` is HTML: what `alert_words.badge` makes of the station's open alerts.
    """
    return (
        f'<div class="andon-head" data-state="{state.kind}" data-tone="{state.tone}">'
        f'<div><div class="andon-name">{escape(station.name)}</div>'
        f'<div class="andon-object">{escape(station.settings.object_name)} {badge}</div></div>{state_chip(state)}</div>'
    )


def caption(verdict: Verdict, now: datetime) -> str:
    """What lies over the last picture: its decision with the score, and how old it is."""
    tone, symbol, label = DECISIONS[verdict.decision]
    scored = "" if verdict.score is None else f" <b>{formatting.score(verdict.score)}</b>"
    return (
        f'<div class="andon-caption"><span class="andon-tag {tone}">{icon(symbol)}{label}{scored}</span>'
        f'<span class="andon-tag age">{icon("schedule")}{formatting.ago(verdict.captured_at, now)}</span></div>'
    )


def no_picture(state: StationState, *lines: str) -> str:
    """What stands in a picture's place when there is none, with the next thing to do; `lines` are commands."""
    commands = "".join(f"<code>{escape(line)}</code>" for line in lines)
    return f'<div class="andon-empty">{icon(state.icon)}<p>{escape(state.explanation)}</p>{commands}</div>'


def numbers(summary: StationSummary, window: str, false_reject_rate: float) -> str:
    """Flagged share large; frames in the window and frames that wait under it.

    The share is marked where it is over `MUCH` times the false rejects that the threshold aims at.
    """
    scored = summary.frames - summary.no_reference
    much = scored > 0 and summary.flagged / scored > MUCH * false_reject_rate
    tone, mark = ("flag", icon("warning")) if much else ("", "")
    others = [(summary.no_reference, "no reference", ""), (summary.parked, "waiting", "flag")]
    return (
        f'<div class="andon-numbers"><div class="{tone}"><b>{mark}{formatting.share(summary.flagged, scored)}</b>'
        f"<span>flagged in {escape(window)}</span></div>"
        f"<div><b>{formatting.count(summary.frames)}</b><span>frames</span></div>"
        + "".join(
            f'<div class="{tone}"><b>{formatting.count(n)}</b><span>{name}</span></div>'
            for n, name, tone in others
            if n
        )
        + "</div>"
    )


def dropped(lost: DropTotal, since: str) -> str:
    """That frames never reached the bus: nobody will look at these parts."""
    said = f"{formatting.plural(lost.frames, 'frame')} dropped since {since}"
    return f'<div class="andon-dropped">{icon("warning")}{escape(said)}</div>'


def rows(number: int) -> str:
    """Tells the style sheet how many rows of tiles should fit the screen."""
    return f"<style>.st-key-wall {{ --andon-rows: {number}; }}</style>"


def figure(label: str, value: str, note: str = "", tone: str = "") -> str:
    """One number of the strip on top."""
    return (
        f'<div class="andon-figure {tone}"><span>{escape(label)}</span><b>{escape(value)}</b>'
        f"<small>{escape(note) or '&nbsp;'}</small></div>"
    )


def strip(*figures: str) -> str:
    return f'<div class="andon-strip">{"".join(figures)}</div>'


def title(station: Station, state: StationState, seen: str) -> str:
    """The head of a station's page."""
    return (
        f'<div class="andon-title" data-state="{state.kind}"><h1>{escape(station.name)}</h1>{state_chip(state)}'
        f"<span>{escape(station.settings.object_name)} · {escape(seen)}"
        f"{' · ' + escape(state.explanation) if state.explanation else ''}</span></div>"
    )


def heading(text: str, note: str = "") -> str:
    return f'<h3 class="andon-h">{escape(text)}<small>{escape(note)}</small></h3>'


def thumb(verdict: Verdict, at: str, chosen: bool) -> str:
    """What stands under a small picture: when, and the score; `data-chosen` marks the one that is looked at."""
    tone, symbol, _ = DECISIONS[verdict.decision]
    return (
        f'<div class="andon-thumb" data-chosen="{str(chosen).lower()}"><span>{escape(at)}</span>'
        f'<b class="{tone}">{icon(symbol)}{formatting.score(verdict.score)}</b></div>'
    )
