"""What a rule is: a pure function of a view, with parameters, that raises, clears, or is unsure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from alerts.errors import InvalidParameters
from storage.alerts.alerts import Severity

ViewT_contra = TypeVar("ViewT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Raised:
    """The condition holds; `evidence` are the JSON facts it was decided by."""

    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clear:
    """The condition is surely gone: further from its limit than what raised it."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Neither: too little is known, or it lies between the two limits. An alert stays open, or closed."""


RuleOutcome = Raised | Clear | Unsure


class Rule(Protocol[ViewT_contra]):
    """A frozen dataclass whose fields are its parameters.

    `kind` names it in the database and `label` on a page; `about` says in a sentence when it raises.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]
    severity: ClassVar[Severity]
    scope: ClassVar[Literal["station", "line"]]
    on_by_default: ClassVar[bool]

    def evaluate(self, view: ViewT_contra) -> RuleOutcome:
        """What is to be said of this view."""


def require(holds: bool, sentence: str) -> None:
    """Raise `InvalidParameters` with the sentence unless a rule's parameters make sense."""
    if not holds:
        raise InvalidParameters(sentence)
