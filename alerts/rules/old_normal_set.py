"""The rule for a normal set that has been active for a long time."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class OldNormalSet:
    """Raises when the active normal set is older than `days`; clears when another set is activated.

    An alert that a person resolved is raised again `again_days` later.
    """

    days: float = 180.0
    again_days: float = 30.0

    kind: ClassVar[str] = "old_normal_set"
    label: ClassVar[str] = "Normal set is old"
    about: ClassVar[str] = "The active normal set has been in use for a long time."
    severity: ClassVar[Severity] = "info"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.days > 0 and self.again_days > 0, "days and again_days are numbers above 0.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` while the active normal set is too old, `Clear` for a newer one."""
        if view.active_since is None:
            return Unsure()
        age = view.now - view.active_since
        if age <= timedelta(days=self.days):
            return Clear()
        if view.since is not None and not view.is_open and view.now - view.since <= timedelta(days=self.again_days):
            return Unsure()
        return Raised(
            f"The active normal set is {age.days} days old; check that the parts still look like it.",
            {"active_since": view.active_since.isoformat(), "days": age.days},
        )
