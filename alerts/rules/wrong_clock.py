"""The rule for a camera whose clock is wrong."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import ALERT_HORIZON, StationView
from storage.alerts.alerts import Severity
from storage.alerts.rule_inputs import VerdictEvent

MAX_AHEAD = timedelta(minutes=1)
"""How far a time of publishing may lie after the decision: clocks that are synchronised differ by less."""


@dataclass(frozen=True, slots=True)
class WrongClock:
    """Raises when `count` frames of the last hour were stamped with a time that can't be true when they arrived.

    The camera stamps the capture, and the computer that publishes the publishing. Clears once `clear` frames in a row
    have times that can be true.
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
        is_over = len(newest) == self.clear and all(_impossible_time(frame) is None for frame in newest)
        if is_over and view.is_open:
            return Clear()
        begin = view.now - ALERT_HORIZON
        recent = [(frame, _impossible_time(frame)) for frame in view.frames if frame.arrived_at >= begin]
        wrong = [(frame.arrived_at, at) for frame, at in recent if at is not None]
        if len(wrong) < self.count:
            return Clear() if is_over else Unsure()
        arrived_at, stamped_at = wrong[-1]
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


def _impossible_time(frame: VerdictEvent) -> datetime | None:
    """Return the time of capture or of publishing that can't be true, or None."""
    is_published_ahead = frame.published_at - frame.decided_at > MAX_AHEAD
    return frame.stamped_at or (frame.published_at if is_published_ahead else None)


def _distance(ahead: timedelta) -> str:
    side = "after" if ahead > timedelta() else "before"
    seconds = abs(ahead).total_seconds()
    for unit, length_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit} {side}"
    return f"{seconds:.0f} s {side}"
