"""The rule for bad pictures: parts go by that nobody sees."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from alerts.rules.k_of_n import most_of_neighbours
from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.views import ALERT_HORIZON, StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class BadPictures:
    """Raises when `k` of any `n` neighbouring frames within the last hour were bad pictures.

    Clears when at most `clear` of the newest n are. A single one may be a reflection or a lost packet; several mean
    that lamp, lens or camera need a person.
    """

    k: int = 3
    n: int = 10
    clear: int = 0

    kind: ClassVar[str] = "bad_pictures"
    label: ClassVar[str] = "Bad pictures"
    about: ClassVar[str] = "k of n neighbouring frames do not show the part properly: look at lamp, lens and camera."
    severity: ClassVar[Severity] = "critical"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(1 <= self.k <= self.n <= 100, "k and n are whole numbers with 1 ≤ k ≤ n ≤ 100.")
        require(0 <= self.clear < self.k, "clear is a whole number from 0, below k.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` for a recent window with `k` bad pictures, `Clear` once the newest window has few."""
        hits = [frame.decision == "bad_picture" for frame in view.frames]
        newest = sum(hits[-self.n :])
        if view.is_open and len(hits) >= self.n and newest <= self.clear:
            return Clear()
        begin = view.now - ALERT_HORIZON
        worst = most_of_neighbours(view.frames, hits, self.n, begin)
        if worst >= self.k:
            reasons = Counter(
                frame.picture_problem or ""
                for frame, is_hit in zip(view.frames, hits, strict=True)
                if is_hit and frame.arrived_at >= begin
            )
            (commonest, _), *_ = reasons.most_common(1)
            return Raised(
                f"{worst} of {self.n} neighbouring frames were bad pictures, most often {commonest}.",
                {"bad_pictures": worst, "n": self.n, "reasons": dict(sorted(reasons.items()))},
            )
        return Unsure() if len(hits) < self.n else Clear() if newest <= self.clear else Unsure()
