"""The rule for drifting scores of good parts: a lamp fades, a lens gets dirty, a material changes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from alerts.rules.rule import Clear, Raised, RuleOutcome, Unsure, require
from alerts.statistics.control_charts import cusum, ewma
from alerts.statistics.in_control_scores import in_control_process, monitored_log_scores
from alerts.views import StationView
from storage.alerts.alerts import Severity


@dataclass(frozen=True, slots=True)
class ScoreDrift:
    """CUSUM and EWMA over the log-scores of frames that passed, against the first `in_control_frames` of the set.

    Raises while either chart is out of control. Clears when the EWMA is back within half its limits. docs/adr/0021 says
    why the limits are wider than in textbooks.
    """

    in_control_frames: int = 300
    robust: bool = False
    cusum_slack: float = 0.75
    cusum_limit: float = 8.0
    ewma_weight: float = 0.1
    ewma_width: float = 4.5

    kind: ClassVar[str] = "score_drift"
    label: ClassVar[str] = "Scores drift"
    about: ClassVar[str] = "The scores of good parts have moved away from where they were in control."
    severity: ClassVar[Severity] = "warning"
    scope: ClassVar[Literal["station", "line"]] = "station"
    on_by_default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(20 <= self.in_control_frames <= 500, "in_control_frames lies between 20 and 500.")
        require(self.cusum_slack > 0 and self.cusum_limit > 0, "cusum_slack and cusum_limit are sigmas above 0.")
        require(0 < self.ewma_weight <= 1 and self.ewma_width > 0, "ewma_weight lies in (0, 1], ewma_width above 0.")

    def evaluate(self, view: StationView) -> RuleOutcome:
        """Return `Raised` while a chart is out of control, `Clear` once the average is well within its limits."""
        process = in_control_process(view, self.in_control_frames, self.robust)
        if process is None:
            return Unsure()
        logs = monitored_log_scores(view, self.in_control_frames)
        if not len(logs):
            return Unsure()
        process = process.corrected_for_sample_size()
        sums = cusum(logs, process, self.cusum_slack, self.cusum_limit)
        average = ewma(logs, process, self.ewma_weight, self.ewma_width)
        factor = float(np.exp(average.points[-1] - process.centre))
        violations = [*sums.signals[-1], *average.signals[-1]]
        settled = abs(average.points[-1] - process.centre) < (average.upper[-1] - process.centre) / 2
        if view.is_open and settled and len(logs) >= 1 / self.ewma_weight:
            return Clear()
        if not violations:
            return Clear() if settled else Unsure()
        upward = sums.high[-1] > sums.low[-1]
        began = (sums.high_since if upward else sums.low_since)[-1]
        return Raised(
            f"Scores of good parts are {factor:.2f} times what they were, {'rising' if upward else 'falling'} for "
            f"about {began} good frames ({' and '.join(violations)}).",
            {
                "charts": violations,
                "factor": round(factor, 4),
                "cusum": round(float(max(sums.high[-1], sums.low[-1])), 3),
                "ewma_sigmas": round(float((average.points[-1] - process.centre) / process.sigma), 3),
                "since_good_frames": began,
            },
        )
