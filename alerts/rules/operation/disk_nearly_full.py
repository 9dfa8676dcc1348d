"""The rule for a disk or a spool that is nearly full."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import LineView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class DiskNearlyFull:
    """Raises when any disk or spool is filled to `limit`, and clears when all are below `clear`.

    It sees the machine that the monitor runs on. Spools on other machines are monitored through Prometheus.
    """

    limit: float = 0.9
    clear: float = 0.85

    kind: ClassVar[str] = "disk_nearly_full"
    label: ClassVar[str] = "Disk or spool fills"
    about: ClassVar[str] = "The disk of the database or the images, or a spool, is nearly full."
    severity: ClassVar[Severity] = "critical"
    scope: ClassVar[Literal["station", "line"]] = "line"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(0 < self.clear <= self.limit <= 1, "clear is at most limit, and both lie between 0 and 1.")

    def evaluate(self, view: LineView) -> RuleOutcome:
        """Return `Raised` while a disk or spool is filled to `limit`, `Clear` once all are below `clear`."""
        if not view.disk_usages:
            return Unsure()
        fullest = max(view.disk_usages, key=lambda usage: usage.share)
        if fullest.share >= self.limit:
            full = [usage for usage in view.disk_usages if usage.share >= self.limit]
            return Raised(
                f"Nearly full: {', '.join(f'{usage.name} ({usage.share:.0%})' for usage in full)}.",
                {usage.name: round(usage.share, 4) for usage in full},
            )
        return Clear() if fullest.share < self.clear else Unsure()
