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
from alerts.rules.rule import Clear, Raised, RuleOutcome
from alerts.views import LineView, StationView
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert, Severity

UPDATE_INTERVAL = timedelta(minutes=1)  # how often it is written down that an open alert's condition holds on

Value = TypeVar("Value")
AlertKey = tuple[int | None, str]  # station id, or None for the line, and the rule's kind


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """A new alert."""

    place: AlertKey
    severity: Severity
    message: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateAlert:
    """An open alert whose condition holds on."""

    alert: Alert
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResolveAlert:
    """An open alert whose condition is gone."""

    alert: Alert


AlertChange = OpenAlert | UpdateAlert | ResolveAlert


@dataclass(frozen=True, slots=True)
class LineSnapshot:
    """Everything that one round is decided by.

    `past` says until when each place has been dealt with: its last alert was resolved, or its last mute ended.
    """

    now: datetime
    line: LineView
    stations: Mapping[int, StationView] = field(default_factory=dict)
    settings: Sequence[AlertRule] = ()
    unresolved: Mapping[AlertKey, Alert] = field(default_factory=dict)
    past: Mapping[AlertKey, datetime] = field(default_factory=dict)
    muted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Transitions:
    """What is to change, and in sentences what could not be judged."""

    changes: tuple[AlertChange, ...]
    problems: tuple[str, ...]


def evaluate_rules(moment: LineSnapshot) -> Transitions:
    """Ask every rule in force; an alert whose rule was switched off is resolved."""
    changes: list[AlertChange] = []
    problems: list[str] = []
    asked: set[AlertKey] = set()
    open_now = set(moment.unresolved)
    for place, rule, view in _in_force(moment, problems, asked):
        alert = moment.unresolved.get(place)
        covering = [(place[0], kind) for kind in registry.SUPPRESSED_BY.get(place[1], ())]
        past = max((moment.past[one] for one in (place, *covering) if one in moment.past), default=None)
        outcome: RuleOutcome = rule.evaluate(view.for_rule(past, alert is not None))
        is_kept_shut = place[0] in moment.muted or not open_now.isdisjoint(covering)
        change = next_change(place, rule.severity, alert, outcome, is_kept_shut, moment.now)
        if change is not None:
            changes.append(change)
        if isinstance(change, OpenAlert):
            open_now.add(place)
    changes += [ResolveAlert(alert) for place, alert in moment.unresolved.items() if place not in asked]
    return Transitions(tuple(changes), tuple(problems))


def next_change(
    place: AlertKey, severity: Severity, alert: Alert | None, outcome: RuleOutcome, is_kept_shut: bool, now: datetime
) -> AlertChange | None:
    """What one rule's word does to the place's open alert, or to none."""
    if isinstance(outcome, Raised):
        if alert is None:
            return None if is_kept_shut else OpenAlert(place, severity, outcome.message, outcome.evidence)
        return UpdateAlert(alert, outcome.evidence) if now - alert.condition_seen_at >= UPDATE_INTERVAL else None
    return ResolveAlert(alert) if alert is not None and isinstance(outcome, Clear) else None


def _in_force(
    moment: LineSnapshot, problems: list[str], asked: set[AlertKey]
) -> Iterator[tuple[AlertKey, Any, LineView | StationView]]:
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
    asked: set[AlertKey],
) -> Iterator[tuple[str, Any]]:
    for kind, kept in registry.rules_by_kind().items():
        setting = settings.get(kind)
        if kept.scope != scope or not (kept.on_by_default if setting is None else setting.enabled):
            continue
        asked.add((station_id, kind))
        try:
            rule = registry.create_rule(kind, setting.parameters if setting is not None else {})
        except AlertsError as error:
            problems.append(f"A rule of {name} is not watched: {error}")
            continue
        yield kind, rule


def _grouped(pairs: Iterable[tuple[int | None, Value]]) -> dict[int | None, list[Value]]:
    groups: dict[int | None, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
