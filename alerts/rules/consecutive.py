"""The rule for several flagged frames in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import ALERT_HORIZON, StationView
from storage.alerts.alerts import Severity
from storage.alerts.rule_inputs import VerdictEvent


@dataclass(frozen=True, slots=True)
class Consecutive:
    """Raises when `count` frames in a row were flagged, the last within the last hour; clears after `clear` good ones.

    With 8 % flagged by chance, five in a row occur once in 330,000 frames.
    """

    count: int = 5
    clear: int = 5

    kind: ClassVar[str] = "consecutive"
    label: ClassVar[str] = "Flagged in a row"
    about: ClassVar[str] = "Several frames in a row were flagged: something is wrong with every part, or the camera."
    severity: ClassVar[Severity] = "critical"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(2 <= self.count <= 100, "count is a whole number from 2 to 100.")
        require(1 <= self.clear <= 100, "clear is a whole number from 1 to 100.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` for a recent row of flagged frames that is long enough, `Clear` after enough good frames."""
        good, scored = 0, view.scored_frames
        for frame in reversed(scored):
            if frame.decision == "flag":
                break
            good += 1
        if good >= self.clear and view.is_open:
            return Clear()
        longest = self._longest(scored, view.now - ALERT_HORIZON)
        if longest >= self.count:
            return Raised(f"{longest} frames in a row were flagged.", {"in_a_row": longest})
        return Clear() if good >= self.clear else Unsure()

    def _longest(self, frames: Sequence[VerdictEvent], begin: datetime) -> int:
        """Return the length of the longest row of flagged frames that ends at `begin` or later."""
        longest = row = 0
        for frame in frames:
            row = row + 1 if frame.decision == "flag" else 0
            if row > longest and frame.arrived_at >= begin:
                longest = row
        return longest
