"""The rule for the Western Electric rules on individual scores; off by default."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.statistics.control_charts import western_electric
from alerts.statistics.in_control_scores import in_control_process, monitored_log_scores
from alerts.views import StationView
from storage.alerts.alerts import Severity

RECENT_FRAMES = 25  # newest good frames that are evaluated


@dataclass(frozen=True, slots=True)
class WesternElectric:
    """Raises when one of the newest 25 good frames breaks one of the four rules; clears when none does.

    The four rules together give a false alarm every 92 frames (Champ and Woodall 1987): acceptable for a chart with one
    point per hour that a person reads, far too often for one point per second. So the rule is off by default.
    """

    in_control_frames: int = 300
    robust: bool = False

    kind: ClassVar[str] = "western_electric"
    label: ClassVar[str] = "Western Electric"
    about: ClassVar[str] = "The scores of good parts break one of the four Western Electric rules."
    severity: ClassVar[Severity] = "info"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(20 <= self.in_control_frames <= 500, "in_control_frames lies between 20 and 500.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` while a recent frame breaks a rule, `Clear` while none does."""
        process = in_control_process(view, self.in_control_frames, self.robust)
        if process is None:
            return Unsure()
        violations = western_electric(monitored_log_scores(view, self.in_control_frames)[-RECENT_FRAMES:], process)
        counted = Counter(name for names in violations for name in names)
        if not counted:
            return Clear() if violations else Unsure()
        named = ", ".join(sorted(counted))
        return Raised(f"Scores of good parts break {named}.", {"rules": dict(sorted(counted.items()))})
