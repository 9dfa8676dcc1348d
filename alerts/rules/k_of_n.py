"""The rule for k flagged frames among n neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import ALERT_HORIZON, StationView
from storage.alerts.alerts import Severity
from storage.alerts.rule_inputs import VerdictEvent


@dataclass(frozen=True, slots=True)
class KOfN:
    """Raises when `k` of any `n` neighbouring frames within the last hour were flagged.

    Clears when at most `clear` of the newest n are. With 8 % flagged by chance, 6 of 10 occur once in 49,000 frames.
    """

    k: int = 6
    n: int = 10
    clear: int = 2

    kind: ClassVar[str] = "k_of_n"
    label: ClassVar[str] = "Several flagged"
    about: ClassVar[str] = "k of n neighbouring frames were flagged."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(2 <= self.k <= self.n <= 100, "k and n are whole numbers with 2 ≤ k ≤ n ≤ 100.")
        require(0 <= self.clear < self.k, "clear is a whole number below k.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` for a recent window with `k` flagged frames, `Clear` once the newest window has few."""
        frames = view.scored_frames
        flags = [frame.decision == "flag" for frame in frames]
        newest = sum(flags[-self.n :])
        if view.is_open and len(flags) >= self.n and newest <= self.clear:
            return Clear()
        most_flagged = most_of_neighbours(frames, flags, self.n, view.now - ALERT_HORIZON)
        if most_flagged >= self.k:
            return Raised(
                f"{most_flagged} of {self.n} neighbouring frames were flagged.", {"flagged": most_flagged, "n": self.n}
            )
        return Unsure() if len(flags) < self.n else Clear() if newest <= self.clear else Unsure()


def most_of_neighbours(frames: Sequence[VerdictEvent], hits: Sequence[bool], n: int, begin: datetime) -> int:
    """Return the largest number of hits among n neighbouring frames, the last of which arrived at `begin` or later."""
    most = found = 0
    for end, is_hit in enumerate(hits):
        found += is_hit - (hits[end - n] if end >= n else 0)
        if found > most and frames[end].arrived_at >= begin:
            most = found
    return most
