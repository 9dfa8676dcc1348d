"""An alert rule of another package."""

from dataclasses import dataclass
from typing import ClassVar

from alerts.rules.rule import Clear, Raised, RuleOutcome, Scope, Unsure
from alerts.views import StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class UnscoredFrames:
    """Raises while `frames` of the newest frames have no score."""

    frames: int = 10

    kind: ClassVar[str] = "unscored_frames"
    label: ClassVar[str] = "Frames without a score"
    about: ClassVar[str] = "Several of the newest frames have no score."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Scope] = "station"
    on_by_default: ClassVar[bool] = True

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return whether enough of the newest frames have no score."""
        if not view.frames:
            return Unsure()
        unscored = sum(frame.score is None for frame in view.frames[-self.frames :])
        return Raised(f"{unscored} frames have no score.") if unscored >= self.frames else Clear()
