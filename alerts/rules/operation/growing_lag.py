"""The rule for a growing number of frames that wait on the bus."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import LAG_HISTORY, LineView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class GrowingLag:
    """Raises when at least `frames` have waited all through the last `for_s` seconds and did not become fewer.

    Clears below half of `frames`.
    """

    frames: int = 200
    for_s: float = 60.0

    kind: ClassVar[str] = "growing_lag"
    label: ClassVar[str] = "Scorers fall behind"
    about: ClassVar[str] = "Many frames wait for a scorer and they do not become fewer."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Literal["station", "line"]] = "line"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.frames >= 1, "frames is a whole number above 0.")
        require(1 <= self.for_s <= LAG_HISTORY.total_seconds() / 2, "for_s lies between 1 and 900 seconds.")

    def evaluate(self, view: LineView) -> RuleOutcome:
        """Return `Raised` while many frames wait and do not become fewer, `Clear` below half of `frames`."""
        if not view.samples:
            return Unsure()
        newest = view.samples[-1]
        if newest.lag < self.frames / 2:
            return Clear()
        begin = view.now - timedelta(seconds=self.for_s)
        during = [sample for sample in view.samples if sample.at >= begin]
        is_whole = view.samples[0].at < begin
        if is_whole and during and min(sample.lag for sample in during) >= self.frames and newest.lag >= during[0].lag:
            return Raised(
                f"{newest.lag} frames wait for a scorer; {self.for_s:g} s ago there were {during[0].lag}.",
                {"lag": newest.lag, "lag_before": during[0].lag, "for_s": self.for_s},
            )
        return Unsure()
