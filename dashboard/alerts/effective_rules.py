"""The effective setting of each alert rule: the station's own, else the line's, else the rule's defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from alerts.rules import registry
from alerts.rules.rule import Scope
from storage.alerts.alert_rules import AlertRule

Origin = Literal["defaults", "line", "station"]


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule as it applies to a station or to the line: all of its `parameters`, and who set them (`origin`)."""

    kind: str
    name: str
    description: str
    severity: str
    enabled: bool
    parameters: Mapping[str, Any]
    origin: Origin


def for_scope(settings: Sequence[AlertRule], station_id: int | None, scope: Scope) -> list[EffectiveRule]:
    """Return the rules of a scope in the registry's order.

    Args:
        settings: All rule settings of the database.
        station_id: The station; None for the line, or for stations without a setting of their own.
        scope: Whether rules of stations or of the line are wanted.
    """
    return [
        _effective(settings, station_id, kind) for kind, rule in registry.rules_by_kind().items() if rule.scope == scope
    ]


def name(kind: str) -> str:
    """Return the display name of a rule; a rule that does not exist any more is named by its kind."""
    rule = registry.rules_by_kind().get(kind)
    return str(rule.label) if rule is not None else kind


def parameters(settings: Sequence[AlertRule], station_id: int | None, kind: str) -> Mapping[str, Any]:
    """Return the effective parameters of one rule; none for a rule that does not exist any more."""
    return _effective(settings, station_id, kind).parameters if kind in registry.rules_by_kind() else {}


def _effective(settings: Sequence[AlertRule], station_id: int | None, kind: str) -> EffectiveRule:
    rule = registry.rules_by_kind()[kind]
    by_station = {setting.station_id: setting for setting in settings if setting.kind == kind}
    chosen = by_station.get(station_id) or by_station.get(None)
    return EffectiveRule(
        kind=kind,
        name=rule.label,
        description=rule.about,
        severity=rule.severity,
        enabled=rule.on_by_default if chosen is None else chosen.enabled,
        parameters={**registry.default_parameters(rule), **(chosen.parameters if chosen else {})},
        origin="defaults" if chosen is None else "line" if chosen.station_id is None else "station",
    )
