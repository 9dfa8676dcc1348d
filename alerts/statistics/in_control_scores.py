"""The scores that the chart rules evaluate, and the in-control process that they compare them with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alerts.statistics.control_charts import InControlProcess, in_control, log_scores
from alerts.views import StationView
from storage.alerts.rule_inputs import VerdictEvent


def in_control_process(view: StationView, frames: int, robust: bool) -> InControlProcess | None:
    """Return centre and sigma of the log-scores of the first `frames` frames that passed.

    Returns None while there are fewer, or while their scores are all equal, which gives no sigma.
    """
    first = view.in_control[:frames]
    if len(first) < frames:
        return None
    logs = log_scores(scores_of_frames(first))
    if not np.any(np.diff(logs)):
        return None
    return in_control(logs, robust=robust)


def monitored_log_scores(view: StationView, frames: int) -> NDArray[np.float64]:
    """Return the log-scores of the frames after the in-control ones, on the same scale, oldest first.

    Only frames that passed are included: a defect is no evidence on the good parts, and other rules count it.
    """
    last = view.in_control[frames - 1]
    scale = last.scale
    return log_scores(
        scores_of_frames(
            [
                frame
                for frame in view.frames
                if frame.decision == "pass" and frame.captured_at > last.captured_at and frame.scale == scale
            ]
        )
    )


def scores_of_frames(frames: Sequence[VerdictEvent]) -> list[float]:
    """Return the scores of the frames that have one."""
    return [frame.score for frame in frames if frame.score is not None]
