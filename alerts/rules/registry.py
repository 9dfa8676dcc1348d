"""Which rules there are; a new one is a file in this folder and a line in `RULES`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from alerts.errors import InvalidParameters, UnknownRule
from alerts.rules.consecutive import Consecutive
from alerts.rules.dead_letter_burst import DeadLetterBurst
from alerts.rules.disk_nearly_full import DiskNearlyFull
from alerts.rules.flagged_share import FlaggedShare
from alerts.rules.growing_lag import GrowingLag
from alerts.rules.k_of_n import KOfN
from alerts.rules.old_normal_set import OldNormalSet
from alerts.rules.score_drift import ScoreDrift
from alerts.rules.scorer_down import ScorerDown
from alerts.rules.silent_camera import SilentCamera
from alerts.rules.western_electric import WesternElectric

RULES: Final[tuple[type[Any], ...]] = (
    SilentCamera,
    Consecutive,
    KOfN,
    FlaggedShare,
    ScoreDrift,
    WesternElectric,
    OldNormalSet,
    ScorerDown,
    GrowingLag,
    DeadLetterBurst,
    DiskNearlyFull,
)

# While an alert of the second is open the first opens none there: it would tell the same thing again.
SUPPRESSED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    KOfN.kind: (Consecutive.kind,),
    FlaggedShare.kind: (Consecutive.kind, KOfN.kind),
    WesternElectric.kind: (ScoreDrift.kind,),
}


def rules_by_kind() -> Mapping[str, type[Any]]:
    """Kind → rule, in the order of `RULES`."""
    return {rule.kind: rule for rule in RULES}


def default_parameters(rule: type[Any]) -> Mapping[str, Any]:
    """A rule's parameters as they are unless somebody sets them."""
    made = rule()
    return {field.name: getattr(made, field.name) for field in fields(rule)}


def create_rule(kind: str, parameters: Mapping[str, Any]) -> Any:
    """The rule with these parameters in place of its defaults; raises `UnknownRule`, `InvalidParameters`."""
    rules = rules_by_kind()
    if kind not in rules:
        raise UnknownRule(f"There is no rule {kind[:40]!r}; there are {', '.join(rules)}.")
    known = default_parameters(rules[kind])
    for name, value in parameters.items():
        if name not in known:
            raise InvalidParameters(f"The rule {kind} has no parameter {name[:40]!r}; it has {', '.join(known)}.")
        _require_like(kind, name, value, known[name])
    return rules[kind](**{name: type(known[name])(value) for name, value in parameters.items()})


def _require_like(kind: str, name: str, value: object, default: object) -> None:
    """Refuse what is not of the default's type; a whole number may stand for a fraction."""
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
    fits = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
    if not fits or (isinstance(value, bool) and not isinstance(default, bool)):
        raise InvalidParameters(f"The parameter {name} of the rule {kind} is {wanted}, not {str(value)[:40]!r}.")
