"""Alert rules of other installed packages, found by their entry points.

A package names a rule's class in its pyproject.toml; the name before the equals sign is the rule's `kind`:

    [project.entry-points."andon.alert_rules"]
    moon_phase = "my_package.moon_phase:MoonPhase"
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import structlog

from alerts.rules.rule import SCOPES, SEVERITIES
from foundation.errors import AndonError, PluginError
from foundation.plugins import load_plugin, plugin_names

ENTRY_POINT_GROUP = "andon.alert_rules"

log = structlog.get_logger()


@cache
def installed_rules() -> Mapping[str, type[Any]]:
    """Return the rules of installed packages by kind.

    A rule that can't be loaded, or whose class is no rule, is logged as an error and skipped: the other rules must go
    on watching the line.
    """
    rules: dict[str, type[Any]] = {}
    for kind in plugin_names(ENTRY_POINT_GROUP):
        try:
            rule = _require_rule(kind, load_plugin(ENTRY_POINT_GROUP, kind))
        except AndonError as error:
            log.error("an installed alert rule is left out", rule=kind, error=str(error))
        else:
            rules[kind] = rule
    return rules


def _require_rule(kind: str, rule: Any) -> type[Any]:
    """Return the rule's class if it has what the registry and the pages use; raises `PluginError`."""
    if not isinstance(rule, type) or getattr(rule, "kind", None) != kind:
        raise PluginError(f"The alert rule {kind!r} is no class with that kind; update its package.")
    if getattr(rule, "scope", None) not in SCOPES or getattr(rule, "severity", None) not in SEVERITIES:
        raise PluginError(f"The alert rule {kind!r} has no known scope or severity; update its package.")
    if missing := [name for name in ("label", "about", "on_by_default", "evaluate") if not hasattr(rule, name)]:
        raise PluginError(f"The alert rule {kind!r} has no {', '.join(missing)}; update its package.")
    try:
        rule()
    except TypeError:
        raise PluginError(f"The alert rule {kind!r} has a parameter without a default; update its package.") from None
    return rule
