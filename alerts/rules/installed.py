"""Alert rules of other installed packages, found by their entry points.

A package names a rule's class in its pyproject.toml; the name before the equals sign is the rule's `kind`:

    [project.entry-points."andon.alert_rules"]
    moon_phase = "my_package.moon_phase:MoonPhase"
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import structlog

from alerts.errors import AlertsError
from alerts.rules.rule import SCOPES, SEVERITIES

ENTRY_POINT_GROUP = "andon.alert_rules"

log = structlog.get_logger()


@cache
def installed_rules() -> Mapping[str, type[Any]]:
    """Return the rules of installed packages by kind.

    A package that can't be imported, or whose class is no rule, is logged as an error and left out: the other rules
    must go on watching the line.
    """
    rules = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            rule = point.load()
            _require_rule(point.name, rule)
        except Exception:  # another package's code may raise anything
            package = point.dist.name if point.dist else point.module
            log.exception("an installed alert rule is left out", rule=point.name, package=package)
        else:
            rules[point.name] = rule
    return rules


def _require_rule(kind: str, rule: Any) -> None:
    """Check what the registry and the pages read of a rule's class; raises `AlertsError`."""
    if not isinstance(rule, type) or getattr(rule, "kind", None) != kind:
        raise AlertsError(f"its entry point is not named like its class's kind, {getattr(rule, 'kind', None)!r}")
    if getattr(rule, "scope", None) not in SCOPES or getattr(rule, "severity", None) not in SEVERITIES:
        raise AlertsError("its scope or severity is not one of those that `alerts.rules.rule` lists")
    rule()  # every parameter has a default
    for attribute in ("label", "about", "on_by_default", "evaluate"):
        getattr(rule, attribute)
