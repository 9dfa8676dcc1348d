"""The registry of alert rules.

A built-in rule is one file in this folder and one line in `RULES`; another package adds one by an entry point.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from alerts.errors import InvalidParameters, UnknownRule
from alerts.installed_rules import installed_rules
from alerts.rules.bad_pictures import BadPictures
from alerts.rules.consecutive import Consecutive
from alerts.rules.flagged_share import FlaggedShare
from alerts.rules.k_of_n import KOfN
from alerts.rules.old_normal_set import OldNormalSet
from alerts.rules.operation.dead_letter_burst import DeadLetterBurst
from alerts.rules.operation.deleted_unread import DeletedUnread
from alerts.rules.operation.disk_nearly_full import DiskNearlyFull
from alerts.rules.operation.growing_lag import GrowingLag
from alerts.rules.operation.scorer_down import ScorerDown
from alerts.rules.score_drift import ScoreDrift
from alerts.rules.silent_camera import SilentCamera
from alerts.rules.western_electric import WesternElectric
from alerts.rules.wrong_clock import WrongClock

RULES: Final[tuple[type[Any], ...]] = (
    SilentCamera,
    WrongClock,
    BadPictures,
    Consecutive,
    KOfN,
    FlaggedShare,
    ScoreDrift,
    WesternElectric,
    OldNormalSet,
    ScorerDown,
    GrowingLag,
    DeadLetterBurst,
    DeletedUnread,
    DiskNearlyFull,
)

SUPPRESSED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    KOfN.kind: (Consecutive.kind,),
    FlaggedShare.kind: (Consecutive.kind, KOfN.kind),
    WesternElectric.kind: (ScoreDrift.kind,),
}
"""Kind → the kinds whose open alert keeps it from opening one at the same station: it would report the same thing."""


def rules_by_kind() -> Mapping[str, type[Any]]:
    """Return the class of every rule by its kind: the built-in ones in order, then those of installed packages.

    A built-in rule takes precedence over an installed one of the same kind.
    """
    built_in = {rule.kind: rule for rule in RULES}
    return built_in | {kind: rule for kind, rule in installed_rules().items() if kind not in built_in}


def default_parameters(rule: type[Any]) -> Mapping[str, Any]:
    """Return the parameters of a rule's class with their defaults, in order."""
    instance = rule()
    return {field.name: getattr(instance, field.name) for field in fields(rule)}


def create_rule(kind: str, parameters: Mapping[str, Any]) -> Any:
    """Create the rule of a kind with these parameters, and defaults for the others.

    Raises:
        UnknownRule: There is no rule of that kind.
        InvalidParameters: The rule has no such parameter, or the value does not fit it.
    """
    rules = rules_by_kind()
    if kind not in rules:
        raise UnknownRule(f"There is no rule {kind[:40]!r}; the rules are {', '.join(rules)}.")
    defaults = default_parameters(rules[kind])
    for name, value in parameters.items():
        if name not in defaults:
            raise InvalidParameters(f"The rule {kind} has no parameter {name[:40]!r}; it has {', '.join(defaults)}.")
        _require_type(kind, name, value, defaults[name])
    return rules[kind](**{name: type(defaults[name])(value) for name, value in parameters.items()})


def _require_type(kind: str, name: str, value: object, default: object) -> None:
    """Raise `InvalidParameters` unless the value has the default's type; an integer may stand for a float."""
    expected = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
    fits = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
    if not fits or (isinstance(value, bool) and not isinstance(default, bool)):
        raise InvalidParameters(f"The parameter {name} of the rule {kind} must be {expected}, not {str(value)[:40]!r}.")
