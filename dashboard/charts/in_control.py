"""What a control chart of a station is drawn from: its good frames in order, and the time when all was well."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from alerts.statistics.control_charts import MIN_VALUES, ControlChart, InControlProcess, in_control, log_scores
from storage.alerts import rule_inputs
from storage.alerts.rule_inputs import VerdictEvent
from storage.line import normal_sets, verdicts
from storage.line.verdicts import Verdict

FIRST = 300  # good frames of a normal set that limits are drawn from unless told otherwise, as the drift rule does
MOST = 500  # frames that a chart looks back on, and that limits are drawn from at most


@dataclass(frozen=True, slots=True)
class InControlPeriod:
    """Which time was in control: the first `frames` since the normal set is active, or those in [since, until)."""

    frames: int = FIRST
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ControlData:
    """Good frames, oldest first, with the process that they are compared with and what that was drawn from."""

    frames: Sequence[Verdict]
    process: InControlProcess
    quiet: Sequence[VerdictEvent]

    @property
    def logs(self) -> list[float]:
        return [float(value) for value in log_scores([frame.score or 0.0 for frame in self.frames])]


def newest(chart: ControlChart, count: int) -> ControlChart:
    """The chart's newest points, as they were worked out with all before them."""
    return ControlChart(
        chart.points[-count:], chart.centre, chart.lower[-count:], chart.upper[-count:], chart.signals[-count:]
    )


def drawn(
    session: Session, station_id: int, period: InControlPeriod, *, robust: bool = False, until: datetime | None = None
) -> ControlData | str:
    """The newest good frames before `until` that one model scored against one normal set; or why there is no chart."""
    newest = verdicts.recent(session, station_id, until=until, decision="pass", limit=MOST)
    if not newest:
        return "No frame has passed here so far."
    of_set = next((one for one in normal_sets.list_all(session, station_id) if one.id == newest[0].normal_set_id), None)
    if of_set is None or of_set.activated_at is None or newest[0].model_id is None:
        return "The normal set that these frames were compared with is not known here."
    since = period.since or of_set.activated_at
    quiet = rule_inputs.passed_since(
        session, station_id, of_set.id, newest[0].model_id, since, MOST if period.since else period.frames
    )
    if period.until is not None:
        quiet = [frame for frame in quiet if frame.captured_at < period.until]
    if period.since is None and len(quiet) < period.frames:
        return f"Limits are drawn from {period.frames} good frames; {len(quiet)} came since the normal set is active."
    if len(quiet) < MIN_VALUES:
        return "Too few good frames lie in that time to draw limits from: choose a longer one."
    try:
        process = in_control(log_scores([frame.score or 0.0 for frame in quiet]), robust=robust)
    except ValueError as error:
        return str(error)
    same = [one for one in newest if (one.normal_set_id, one.model_id) == (of_set.id, newest[0].model_id)]
    return ControlData(same[::-1], process, quiet)
