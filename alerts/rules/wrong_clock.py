"""The rule for a camera whose clock is wrong."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import ALERT_HORIZON, StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class WrongClock:
    """Raises when `count` frames of the last hour were stamped with a time that can't be true when they arrived.

    Clears once `clear` frames in a row have a time that can.
    """

    count: int = 1
    clear: int = 10

    kind: ClassVar[str] = "wrong_clock"
    label: ClassVar[str] = "Camera's clock wrong"
    about: ClassVar[str] = "Frames are stamped with a time that can't be true when they arrive."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(1 <= self.count <= 100, "count is a whole number from 1 to 100.")
        require(1 <= self.clear <= 100, "clear is a whole number from 1 to 100.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` while frames of the last hour have impossible times, `Clear` after enough that have not."""
        newest = view.frames[-self.clear :]
        is_over = len(newest) == self.clear and all(frame.stamped_at is None for frame in newest)
        if is_over and view.is_open:
            return Clear()
        begin = view.now - ALERT_HORIZON
        wrong = [frame for frame in view.frames if frame.stamped_at is not None and frame.arrived_at >= begin]
        if len(wrong) < self.count:
            return Clear() if is_over else Unsure()
        stamped_at, arrived_at = wrong[-1].stamped_at or wrong[-1].arrived_at, wrong[-1].arrived_at
        return Raised(
            f"The clock of this camera is wrong, or its images are old: the newest of {len(wrong)} such frames is "
            f"stamped {_distance(stamped_at - arrived_at)} its arrival.",
            {
                "frames": len(wrong),
                "stamped_at": stamped_at.isoformat(),
                "arrived_at": arrived_at.isoformat(),
                "ahead_s": round((stamped_at - arrived_at).total_seconds(), 1),
            },
        )


def _distance(ahead: timedelta) -> str:
    side = "after" if ahead > timedelta() else "before"
    seconds = abs(ahead).total_seconds()
    for unit, length_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit} {side}"
    return f"{seconds:.0f} s {side}"
