"""The protocol of an alert rule: a pure function of a view, with parameters, that raises, clears, or is unsure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar, get_args

from alerts.errors import InvalidParameters
from storage.alerts.alerts import Severity

Scope = Literal["station", "line"]
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
SEVERITIES: Final[tuple[str, ...]] = get_args(Severity)

ViewT_contra = TypeVar("ViewT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Raised:
    """The condition holds.

    Attributes:
        message: One sentence for a person.
        evidence: The facts that the decision rests on, as JSON values.
    """

    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clear:
    """The condition has certainly gone: the value is beyond the limit at which the alert clears."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Neither: too little is known, or the value lies between the two limits. An alert stays open, or closed."""


RuleOutcome = Raised | Clear | Unsure


class Rule(Protocol[ViewT_contra]):
    """A frozen dataclass whose fields are its parameters, all with defaults.

    Attributes:
        kind: Identifies the rule in the database, in settings and on the command line.
        label: Its name on a page.
        about: One sentence that says when it raises.
        severity: The severity of its alerts.
        scope: Whether it evaluates a `StationView` or a `LineView`.
        on_by_default: Whether it is on while nobody has set it.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]
    severity: ClassVar[Severity]
    scope: ClassVar[Scope]
    on_by_default: ClassVar[bool]

    def evaluate(self, view: ViewT_contra) -> RuleOutcome:
        """Return whether the condition holds in this view."""


def require(condition: bool, message: str) -> None:
    """Check a condition on a rule's parameters.

    Raises:
        InvalidParameters: The condition is false; `message` is its sentence.
    """
    if not condition:
        raise InvalidParameters(message)
