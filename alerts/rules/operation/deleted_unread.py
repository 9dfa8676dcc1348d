"""The rule for frames that were deleted from the bus before a scorer had read them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import LineView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class DeletedUnread:
    """Raises when at least `frames` were deleted unread within `clear_s` seconds; clears that long after."""

    frames: int = 1
    clear_s: float = 3600.0

    kind: ClassVar[str] = "deleted_unread"
    label: ClassVar[str] = "Frames deleted unread"
    about: ClassVar[str] = "Frames were deleted from the bus before a scorer read them: those parts were not inspected."
    severity: ClassVar[Severity] = "critical"
    scope: ClassVar[Literal["station", "line"]] = "line"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.frames >= 1, "frames is a whole number above 0.")
        require(1 <= self.clear_s <= 3600, "clear_s lies between 1 and 3600 seconds.")

    def evaluate(self, view: LineView) -> RuleOutcome:
        """Return `Raised` while enough frames were deleted unread, `Clear` some time after the last of them."""
        begin = view.now - timedelta(seconds=self.clear_s)
        recent = [deleted for deleted in view.deleted_unread if deleted.last_at > begin]
        frames = sum(deleted.frames for deleted in recent)
        if frames >= self.frames:
            were, they = ("1 frame was", "it was") if frames == 1 else (f"{frames} frames were", "they were")
            return Raised(f"{were} deleted from the bus before {they} read.", {"frames": frames})
        return Unsure() if recent else Clear()
