"""The data of a control chart: a station's good frames in order, and the in-control process they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from alerts.statistics.control_charts import MIN_VALUES, ControlChart, InControlProcess, in_control, log_scores
from storage.alerts import rule_inputs
from storage.alerts.rule_inputs import ScoreScale, VerdictEvent
from storage.line import normal_sets, verdicts
from storage.line.verdicts import Verdict

DEFAULT_FRAMES = 300  # good frames of a normal set that limits are computed from, as in the drift rule
MAX_FRAMES = 500  # frames in a chart, and frames that limits are computed from


@dataclass(frozen=True, slots=True)
class InControlPeriod:
    """The time when the process was in control.

    The first `frames` good frames since the normal set was activated, or, with `since`, those in [since, until).
    """

    frames: int = DEFAULT_FRAMES
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ControlData:
    """Good frames, oldest first, and the process, which was estimated from `reference`."""

    frames: Sequence[Verdict]
    process: InControlProcess
    reference: Sequence[VerdictEvent]

    @property
    def log_scores(self) -> list[float]:
        """The logarithms of the frames' scores."""
        return [float(value) for value in log_scores([frame.score or 0.0 for frame in self.frames])]


def last_points(chart: ControlChart, count: int) -> ControlChart:
    """Return the newest points of a chart, with the values that were computed from all points before them."""
    return ControlChart(
        chart.points[-count:], chart.centre, chart.lower[-count:], chart.upper[-count:], chart.signals[-count:]
    )


def control_data(
    session: Session, station_id: int, period: InControlPeriod, *, robust: bool = False, until: datetime | None = None
) -> ControlData | str:
    """Return the newest good frames whose scores can be compared, or why no chart can be drawn.

    Args:
        session: A transaction.
        station_id: The station.
        period: The period that the limits are computed from.
        robust: Whether to use medians, which tolerate outliers in the period.
        until: Use frames captured before this time; None for all.
    """
    newest = verdicts.recent(session, station_id, until=until, decision="pass", limit=MAX_FRAMES)
    if not newest:
        return "No frame of this station has passed so far."
    normal_set_id, model_id = newest[0].normal_set_id, newest[0].model_id
    normal_set = next((one for one in normal_sets.list_all(session, station_id) if one.id == normal_set_id), None)
    if normal_set is None or normal_set.activated_at is None or model_id is None:
        return "The normal set that these frames were compared with is unknown."
    scale = ScoreScale(normal_set.id, model_id, newest[0].mask_version)
    reference = rule_inputs.passed_since(
        session,
        station_id,
        scale,
        period.since or normal_set.activated_at,
        MAX_FRAMES if period.since else period.frames,
    )
    if period.until is not None:
        reference = [frame for frame in reference if frame.captured_at < period.until]
    if period.since is None and len(reference) < period.frames:
        return f"The limits need {period.frames} good frames; {len(reference)} came since the normal set was activated."
    if len(reference) < MIN_VALUES:
        return "The chosen time has too few good frames for limits. Choose a longer one."
    try:
        process = in_control(log_scores([frame.score or 0.0 for frame in reference]), robust=robust)
    except ValueError as error:
        return str(error)
    frames = [frame for frame in newest if (frame.normal_set_id, frame.model_id, frame.mask_version) == tuple(scale)]
    return ControlData(frames[::-1], process, reference)
