"""The rule for many dead letters within a short time."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import LineView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class DeadLetterBurst:
    """Raises at `count` dead letters within `window_s` seconds, and clears at a fifth of that."""

    count: int = 10
    window_s: float = 600.0

    kind: ClassVar[str] = "dead_letter_burst"
    label: ClassVar[str] = "Dead letters"
    about: ClassVar[str] = "Many messages could not become a verdict within a short time."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Literal["station", "line"]] = "line"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(1 <= self.count <= 500, "count is a whole number from 1 to 500.")
        require(1 <= self.window_s <= 3600, "window_s lies between 1 and 3600 seconds.")

    def evaluate(self, view: LineView) -> RuleOutcome:
        """Return `Raised` at `count` recent dead letters, `Clear` at a fifth of that."""
        begin = view.now - timedelta(seconds=self.window_s)
        recent = [letter for letter in view.dead_letters if letter.occurred_at > begin]
        if len(recent) >= self.count:
            reasons = Counter(letter.reason for letter in recent)
            (most_frequent, _), *_ = reasons.most_common(1)
            return Raised(
                f"{len(recent)} messages became dead letters within {self.window_s / 60:g} minutes, "
                f"most often because of {most_frequent}.",
                {"letters": len(recent), "reasons": dict(reasons), "window_s": self.window_s},
            )
        return Clear() if len(recent) <= self.count // 5 else Unsure()
