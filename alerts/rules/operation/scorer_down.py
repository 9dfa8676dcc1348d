"""The rule for a line on which no scorer is running, so that nothing is inspected."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import LAG_HISTORY, LineView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class ScorerDown:
    """Raises after `for_s` seconds without a running scorer while stations have normal sets; clears when one runs."""

    for_s: float = 60.0

    kind: ClassVar[str] = "scorer_down"
    label: ClassVar[str] = "No scorer"
    about: ClassVar[str] = "No scorer is running: frames wait on the bus and nothing is inspected."
    severity: ClassVar[Severity] = "critical"
    scope: ClassVar[Literal["station", "line"]] = "line"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(1 <= self.for_s <= LAG_HISTORY.total_seconds() / 2, "for_s lies between 1 and 900 seconds.")

    def evaluate(self, view: LineView) -> RuleOutcome:
        """Return `Raised` after a time without a running scorer, `Clear` while one is running."""
        if not view.samples or not view.scorer_expected:
            return Unsure()
        newest = view.samples[-1]
        if newest.running:
            return Clear()
        begin = view.now - timedelta(seconds=self.for_s)
        during = [sample for sample in view.samples if sample.at >= begin]
        if view.samples[0].at < begin and not any(sample.running for sample in during):
            reason = f" {newest.message}" if newest.message else ""
            return Raised(f"No scorer has been running for {self.for_s:g} s.{reason}", {"for_s": self.for_s})
        return Unsure()
