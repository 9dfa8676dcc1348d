"""State transitions of alerts after the evaluation of their rules: pure functions, and the only ones that decide them.

An alert opens when its rule raises and none is open for the same key, stays open while the rule raises or is unsure,
and is resolved when the rule clears. While a station is muted none of its alerts opens and nobody is notified; those
that are open stay open and may be resolved. An open alert suppresses the rules that would report the same thing. What
happened before an alert was resolved, or before a mute ended, is not shown to its rule again (docs/adr/0020).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from alerts.errors import AlertsError
from alerts.rules import registry
from alerts.rules.rule import Clear, Raised, RuleOutcome, Scope
from alerts.views import LineView, StationView
from storage.alerts.alert_rules import AlertRule
from storage.alerts.alerts import Alert, Severity

UPDATE_INTERVAL = timedelta(minutes=1)  # how often an open alert records that its condition still holds

AlertKey = tuple[int | None, str]
"""A station's id, or None for the line, and the rule's kind; at most one alert is open per key."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Open a new alert."""

    key: AlertKey
    severity: Severity
    message: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateAlert:
    """Record that an open alert's condition still holds."""

    alert: Alert
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResolveAlert:
    """Resolve an open alert, whose condition has gone."""

    alert: Alert


AlertChange = OpenAlert | UpdateAlert | ResolveAlert


@dataclass(frozen=True, slots=True)
class LineSnapshot:
    """Everything that the rules of one round are evaluated on.

    Attributes:
        now: The time of the round, in UTC.
        line: The view of the line's rules.
        stations: Station id → the view of its rules.
        settings: The rules as they are set, for all stations and for single ones.
        unresolved: The alerts that are open or acknowledged.
        handled_until: Key → the time until which everything was dealt with: its last alert was resolved then, or its
            station's last mute ended.
        muted: The ids of the stations that are muted.
    """

    now: datetime
    line: LineView
    stations: Mapping[int, StationView] = field(default_factory=dict)
    settings: Sequence[AlertRule] = ()
    unresolved: Mapping[AlertKey, Alert] = field(default_factory=dict)
    handled_until: Mapping[AlertKey, datetime] = field(default_factory=dict)
    muted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Transitions:
    """The changes of one round, and one sentence per rule that could not be evaluated."""

    changes: tuple[AlertChange, ...]
    problems: tuple[str, ...]


def evaluate_rules(snapshot: LineSnapshot) -> Transitions:
    """Evaluate every rule that is on, and return the changes; the alert of a rule that is off now is resolved."""
    changes: list[AlertChange] = []
    problems: list[str] = []
    evaluated: set[AlertKey] = set()
    open_keys = set(snapshot.unresolved)
    for key, rule, view in _enabled_rules(snapshot, problems, evaluated):
        station_id, kind = key
        alert = snapshot.unresolved.get(key)
        suppressing = [(station_id, other) for other in registry.SUPPRESSED_BY.get(kind, ())]
        handled = [snapshot.handled_until[each] for each in (key, *suppressing) if each in snapshot.handled_until]
        outcome: RuleOutcome = rule.evaluate(view.for_rule(max(handled, default=None), alert is not None))
        is_suppressed = station_id in snapshot.muted or not open_keys.isdisjoint(suppressing)
        change = next_change(key, rule.severity, alert, outcome, is_suppressed, snapshot.now)
        if change is not None:
            changes.append(change)
        if isinstance(change, OpenAlert):
            open_keys.add(key)
    changes += [ResolveAlert(alert) for key, alert in snapshot.unresolved.items() if key not in evaluated]
    return Transitions(tuple(changes), tuple(problems))


def next_change(
    key: AlertKey, severity: Severity, alert: Alert | None, outcome: RuleOutcome, is_suppressed: bool, now: datetime
) -> AlertChange | None:
    """Return the change that one rule's outcome makes, if any.

    Args:
        key: The station and the rule.
        severity: The severity of an alert that opens.
        alert: The open alert of that key, if any.
        outcome: The rule's result.
        is_suppressed: Whether a mute or another alert keeps this one from opening.
        now: The time of the round, in UTC.
    """
    if isinstance(outcome, Raised):
        if alert is None:
            return None if is_suppressed else OpenAlert(key, severity, outcome.message, outcome.evidence)
        return UpdateAlert(alert, outcome.evidence) if now - alert.condition_seen_at >= UPDATE_INTERVAL else None
    return ResolveAlert(alert) if alert is not None and isinstance(outcome, Clear) else None


def _enabled_rules(
    snapshot: LineSnapshot, problems: list[str], evaluated: set[AlertKey]
) -> Iterator[tuple[AlertKey, Any, LineView | StationView]]:
    """Yield key, rule and view of every rule that is on; a rule that is set wrongly goes to `problems`."""
    by_station: dict[int | None, dict[str, AlertRule]] = defaultdict(dict)
    for setting in snapshot.settings:
        by_station[setting.station_id][setting.kind] = setting
    for kind, rule in _create_rules(by_station[None], "line", "the line", problems, None, evaluated):
        yield (None, kind), rule, snapshot.line
    for station_id, view in snapshot.stations.items():
        settings = by_station[None] | by_station[station_id]
        for kind, rule in _create_rules(settings, "station", view.station, problems, station_id, evaluated):
            yield (station_id, kind), rule, view


def _create_rules(
    settings: Mapping[str, AlertRule],
    scope: Scope,
    name: str,
    problems: list[str],
    station_id: int | None,
    evaluated: set[AlertKey],
) -> Iterator[tuple[str, Any]]:
    """Yield kind and rule of each rule of a scope that is on, and add its key to `evaluated`."""
    for kind, rule_class in registry.rules_by_kind().items():
        setting = settings.get(kind)
        is_on = rule_class.on_by_default if setting is None else setting.enabled
        if rule_class.scope != scope or not is_on:
            continue
        evaluated.add((station_id, kind))
        try:
            rule = registry.create_rule(kind, setting.parameters if setting is not None else {})
        except AlertsError as error:
            problems.append(f"A rule of {name} is not evaluated: {error}")
            continue
        yield kind, rule
