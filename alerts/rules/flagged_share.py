"""The rule for too large a share of flagged frames."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.statistics.confidence_intervals import wilson
from alerts.views import StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class FlaggedShare:
    """Raises when the lower end of the share's 95 % confidence interval is above `limit`.

    Clears at a share of `clear` or below, once half a window was seen. Counting frames instead of minutes gives the
    same confidence on a slow line and on a fast one.
    """

    window_frames: int = 200
    limit: float = 0.2
    clear: float = 0.12

    kind: ClassVar[str] = "flagged_share"
    label: ClassVar[str] = "Many flagged"
    about: ClassVar[str] = "The share of flagged frames among the newest is significantly above a limit."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(20 <= self.window_frames <= 500, "window_frames lies between 20 and 500.")
        require(0 <= self.clear < self.limit < 1, "clear lies below limit, and both between 0 and 1.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` while the lower end of the interval is above `limit`, `Clear` at a share of `clear`."""
        newest = [frame.decision == "flag" for frame in view.scored_frames[-self.window_frames :]]
        found = wilson(sum(newest), len(newest))
        if found is None or len(newest) < self.window_frames // 4:
            return Unsure()
        if found.low > self.limit:
            return Raised(
                f"{sum(newest)} of the last {len(newest)} frames were flagged ({found.value:.0%}).",
                {"flagged": sum(newest), "frames": len(newest), "share": round(found.value, 4), "limit": self.limit},
            )
        has_enough = len(newest) >= self.window_frames // 2
        return Clear() if has_enough and found.value <= self.clear else Unsure()
