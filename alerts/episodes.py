"""Episodes: what becomes of an alert when its rule has spoken; pure, and the only place that decides it.

One alert an episode: it is opened when its rule raises and none is open, goes on while the rule raises or is unsure,
and is resolved when the rule clears. A mute keeps a station's alerts from opening, and nobody is told anything; those
that are open stay open and may be resolved. Where a graver rule's alert is open already, a rule that would only tell
the same again opens none. What was resolved, or muted, is past: rules are not shown it again (docs/adr/0020).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from alerts.errors import AlertsError
from alerts.rules import registry
from alerts.rules.rule import Clear, Outcome, Raised
from alerts.views import LineView, StationView
from storage.alert_rules import AlertRule
from storage.alerts import Alert, Severity

HELD_EVERY = timedelta(minutes=1)  # how often it is written down that an open alert's condition holds on

Value = TypeVar("Value")
Place = tuple[int | None, str]  # station id, or None for the line, and the rule's kind


@dataclass(frozen=True, slots=True)
class Opening:
    """A new alert."""

    place: Place
    severity: Severity
    message: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Holding:
    """An open alert whose condition holds on."""

    alert: Alert
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resolving:
    """An open alert whose condition is gone."""

    alert: Alert


Change = Opening | Holding | Resolving


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that one round is decided by.

    `past` says until when each place has been dealt with: its last alert was resolved, or its last mute ended.
    """

    now: datetime
    line: LineView
    stations: Mapping[int, StationView] = field(default_factory=dict)
    settings: Sequence[AlertRule] = ()
    unresolved: Mapping[Place, Alert] = field(default_factory=dict)
    past: Mapping[Place, datetime] = field(default_factory=dict)
    muted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to change, and in sentences what could not be judged."""

    changes: tuple[Change, ...]
    problems: tuple[str, ...]


def decide(moment: Moment) -> Decided:
    """Ask every rule in force; an alert whose rule was switched off is resolved."""
    changes: list[Change] = []
    problems: list[str] = []
    asked: set[Place] = set()
    open_now = set(moment.unresolved)
    for place, rule, view in _in_force(moment, problems, asked):
        alert = moment.unresolved.get(place)
        covering = [(place[0], kind) for kind in registry.COVERED_BY.get(place[1], ())]
        past = max((moment.past[one] for one in (place, *covering) if one in moment.past), default=None)
        outcome: Outcome = rule.judge(view.seen_by(past, alert is not None))
        is_kept_shut = place[0] in moment.muted or not open_now.isdisjoint(covering)
        change = next_change(place, rule.severity, alert, outcome, is_kept_shut, moment.now)
        if change is not None:
            changes.append(change)
        if isinstance(change, Opening):
            open_now.add(place)
    changes += [Resolving(alert) for place, alert in moment.unresolved.items() if place not in asked]
    return Decided(tuple(changes), tuple(problems))


def next_change(
    place: Place, severity: Severity, alert: Alert | None, outcome: Outcome, is_kept_shut: bool, now: datetime
) -> Change | None:
    """What one rule's word does to the place's open alert, or to none."""
    if isinstance(outcome, Raised):
        if alert is None:
            return None if is_kept_shut else Opening(place, severity, outcome.message, outcome.evidence)
        return Holding(alert, outcome.evidence) if now - alert.held_at >= HELD_EVERY else None
    return Resolving(alert) if alert is not None and isinstance(outcome, Clear) else None


def _in_force(
    moment: Moment, problems: list[str], asked: set[Place]
) -> Iterator[tuple[Place, Any, LineView | StationView]]:
    """(place, rule, view) for every rule that is on; what is set wrongly goes to `problems`."""
    of_line = {setting.kind: setting for setting in moment.settings if setting.station_id is None}
    of_station = _grouped((setting.station_id, setting) for setting in moment.settings)
    for kind, rule in _chosen(of_line, "line", "the line", problems, None, asked):
        yield (None, kind), rule, moment.line
    for station_id, view in moment.stations.items():
        own = {setting.kind: setting for setting in of_station.get(station_id, [])}
        for kind, rule in _chosen(of_line | own, "station", view.station, problems, station_id, asked):
            yield (station_id, kind), rule, view


def _chosen(
    settings: Mapping[str, AlertRule],
    scope: str,
    name: str,
    problems: list[str],
    station_id: int | None,
    asked: set[Place],
) -> Iterator[tuple[str, Any]]:
    for kind, kept in registry.by_kind().items():
        setting = settings.get(kind)
        if kept.scope != scope or not (kept.on_by_default if setting is None else setting.enabled):
            continue
        asked.add((station_id, kind))
        try:
            rule = registry.made(kind, setting.parameters if setting is not None else {})
        except AlertsError as error:
            problems.append(f"A rule of {name} is not watched: {error}")
            continue
        yield kind, rule


def _grouped(pairs: Iterable[tuple[int | None, Value]]) -> dict[int | None, list[Value]]:
    groups: dict[int | None, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
