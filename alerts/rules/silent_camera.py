"""The rule for a camera that has sent nothing for too long."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class SilentCamera:
    """Raises when nothing has arrived from a station for longer than its stale_after_s; a slow scorer does not count.

    Clears when `clear_frames` frames arrived within that time. An `after_s` of 0 means stale_after_s. The camera's own
    clock has no say in it.
    """

    after_s: float = 0.0
    clear_frames: int = 2

    kind: ClassVar[str] = "silent_camera"
    label: ClassVar[str] = "Camera silent"
    about: ClassVar[str] = "No frame has come from the station for longer than its stale_after_s."
    severity: ClassVar[Severity] = "critical"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.after_s >= 0, "after_s is a number of seconds, or 0 for the station's stale_after_s.")
        require(1 <= self.clear_frames <= 100, "clear_frames is a whole number from 1 to 100.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` after too long without a frame, `Clear` once frames arrive again."""
        if view.last_arrived_at is None or view.decided_until is None:
            return Unsure()
        after_s = self.after_s or view.stale_after_s
        last_arrived_at = view.last_arrived_at if view.since is None else max(view.last_arrived_at, view.since)
        silent_s = (view.decided_until - last_arrived_at).total_seconds()
        if silent_s > after_s:
            return Raised(
                f"No frame for {silent_s:.0f} s; one is expected within {after_s:g} s.",
                {
                    "last_arrived_at": view.last_arrived_at.isoformat(),
                    "silent_s": round(silent_s, 1),
                    "after_s": after_s,
                },
            )
        begin = view.decided_until - timedelta(seconds=after_s)
        fresh = [frame for frame in view.frames if frame.arrived_at >= begin]
        return Clear() if len(fresh) >= self.clear_frames else Unsure()
