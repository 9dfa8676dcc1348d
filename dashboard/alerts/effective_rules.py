"""How each alert rule is set at a place: its own setting, else the line's, else the rule's defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from alerts.rules import registry
from storage.alerts.alert_rules import AlertRule

Origin = Literal["defaults", "line", "station"]


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule at one place; `parameters` are all of them, `origin` says who set them."""

    kind: str
    label: str
    about: str
    severity: str
    enabled: bool
    parameters: Mapping[str, Any]
    origin: Origin


def at(settings: Sequence[AlertRule], station_id: int | None, scope: Literal["line", "station"]) -> list[EffectiveRule]:
    """The rules of a scope, in the registry's order; None: the line, or stations without a setting of their own."""
    return [_one(settings, station_id, kind) for kind, rule in registry.rules_by_kind().items() if rule.scope == scope]


def label(kind: str) -> str:
    """What a rule is called on a page; one that is gone keeps its kind."""
    rule = registry.rules_by_kind().get(kind)
    return str(rule.label) if rule is not None else kind


def parameters(settings: Sequence[AlertRule], station_id: int | None, kind: str) -> Mapping[str, Any]:
    """One rule's parameters; none for a rule that is gone."""
    return _one(settings, station_id, kind).parameters if kind in registry.rules_by_kind() else {}


def _one(settings: Sequence[AlertRule], station_id: int | None, kind: str) -> EffectiveRule:
    rule = registry.rules_by_kind()[kind]
    of_line = next((one for one in settings if one.station_id is None and one.kind == kind), None)
    own = next(
        (one for one in settings if station_id is not None and (one.station_id, one.kind) == (station_id, kind)), None
    )
    chosen = own or of_line
    return EffectiveRule(
        kind=kind,
        label=rule.label,
        about=rule.about,
        severity=rule.severity,
        enabled=rule.on_by_default if chosen is None else chosen.enabled,
        parameters={**registry.default_parameters(rule), **(chosen.parameters if chosen else {})},
        origin="defaults" if chosen is None else "line" if chosen.station_id is None else "station",
    )
