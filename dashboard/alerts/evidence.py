"""The evidence of an alert as one chart: the frames around it, a control chart, or the numbers it was raised by."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy.orm import Session

from alerts.statistics.control_charts import ewma, individuals
from dashboard import formatting
from dashboard.alerts import effective_rules
from dashboard.charts import arrivals, control_charts, echarts, in_control, kpi_charts, scores
from dashboard.charts.echarts import Option
from dashboard.charts.in_control import InControlPeriod
from dashboard.theme import Palette
from storage.alerts import alert_rules, rule_inputs
from storage.alerts.alerts import Alert
from storage.alerts.rule_inputs import ScoreScale
from storage.line import thresholds, verdicts
from storage.rollups import trends

BEFORE, AFTER, MAX_WINDOW = timedelta(minutes=30), timedelta(minutes=5), timedelta(hours=6)
AFTER_DRIFT = timedelta(minutes=30)
FRAMES_AFTER_DRIFT = in_control.MAX_FRAMES // 5
"""The last fifth of the chart of a drift shows how it went on; an average needs the rest before it to settle."""

BUCKETS = 120
MIN_BUCKET_S = 5
MAX_FLAGGED = 300
SCORE_RULES = ("consecutive", "k_of_n", "flagged_share")
ARRIVAL_RULES = ("silent_camera", "wrong_clock", "scorer_down")
DRIFT_RULES = ("score_drift", "western_electric")
NO_FRAMES = "No frames of that time are stored."


@dataclass(frozen=True, slots=True)
class Evidence:
    """A chart and its description; without a chart (`option` is None) the description gives the reason."""

    title: str
    option: Option | None
    description: str


def read(
    session: Session, alert: Alert, station_ids: Sequence[int], now: datetime, zone: tzinfo, palette: Palette
) -> Evidence:
    """Return the evidence of an alert; `station_ids` are all stations, for an alert of the whole line."""
    if alert.rule in SCORE_RULES and alert.station_id is not None:
        return _scores(session, alert, alert.station_id, now, palette)
    if alert.rule in ARRIVAL_RULES:
        affected = station_ids if alert.station_id is None else [alert.station_id]
        return _arrivals(session, alert, affected, now, palette)
    if alert.rule in DRIFT_RULES and alert.station_id is not None:
        return _drift(session, alert, alert.station_id, zone, now, palette)
    settings = alert_rules.list_all(session)
    return bar_evidence(alert, effective_rules.parameters(settings, alert.station_id, alert.rule), palette)


def bar_evidence(alert: Alert, parameters: Mapping[str, Any], palette: Palette) -> Evidence:
    """Return the numbers of an alert as bars against the rule's limit."""
    evidence, limit, unit = alert.evidence, None, ""
    if alert.rule == "dead_letter_burst":
        values = {str(reason): float(count) for reason, count in dict(evidence.get("reasons", {})).items()}
        title = f"Dead letters in {formatting.duration(float(evidence.get('window_s', 0)))}, by reason"
    elif alert.rule == "bad_pictures":
        values = {str(reason): float(count) for reason, count in dict(evidence.get("reasons", {})).items()}
        title = "Bad pictures within the hour before the alert, by reason"
    elif alert.rule == "growing_lag":
        values = {"before": float(evidence.get("lag_before", 0)), "now": float(evidence.get("lag", 0))}
        title, limit = "Frames that wait for a scorer", parameters.get("frames")
    elif alert.rule == "disk_nearly_full":
        values = {str(name): round(100 * float(share), 1) for name, share in evidence.items()}
        title, unit, limit = "Disk usage", "%", 100 * float(parameters.get("limit", 1.0))
    elif alert.rule == "old_normal_set":
        values = {"age": float(evidence.get("days", 0))}
        title, unit, limit = "Age of the active normal set", "days", parameters.get("days")
    else:
        values = {
            str(name): float(value)
            for name, value in evidence.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        title = "Values that raised the alert"
    if not values:
        return Evidence(title, None, "This alert has no numbers.")
    return Evidence(title, kpi_charts.bars(values, unit, limit, palette), f"{title}: {values}")


def window(alert: Alert, now: datetime) -> tuple[datetime, datetime, timedelta]:
    """Return start, end and bucket width of the chart.

    It spans from half an hour before the alert opened until shortly after it was resolved, at most six hours.
    """
    since = alert.opened_at - BEFORE
    until = min((alert.resolved_at or now) + AFTER, since + MAX_WINDOW)
    seconds = (until - since).total_seconds() / BUCKETS
    seconds = max(MIN_BUCKET_S, round(seconds / MIN_BUCKET_S) * MIN_BUCKET_S)
    return since, until, timedelta(seconds=seconds if seconds < 60 else 60 * round(seconds / 60))


def with_alert_shaded(option: Option, alert: Alert, until: datetime, palette: Palette) -> Option:
    """Return the chart with the time shaded from when the alert opened until it was resolved, or until the end."""
    end = min(alert.resolved_at or until, until)
    area = {
        "silent": True,
        "itemStyle": {"color": palette.flag_tint, "opacity": 0.55},
        "label": {"show": True, "position": "insideTopLeft", "formatter": "alert", "color": palette.flag},
        "data": [[{"xAxis": echarts.milliseconds(alert.opened_at)}, {"xAxis": echarts.milliseconds(end)}]],
    }
    first, *others = option["series"]
    return option | {"series": [first | {"markArea": area}, *others]}


def _scores(session: Session, alert: Alert, station_id: int, now: datetime, palette: Palette) -> Evidence:
    since, until, bucket = window(alert, now)
    points = trends.trend(session, station_id, since, until, bucket)
    flagged = verdicts.recent(session, station_id, since=since, until=until, decision="flag", limit=MAX_FLAGGED)
    title = "Scores around the alert"
    if not points:
        return Evidence(title, None, NO_FRAMES)
    history = thresholds.history(session, station_id)
    option = scores.trend(points, flagged, since, until, bucket, palette, history)
    return Evidence(title, with_alert_shaded(option, alert, until, palette), f"{title}, {len(flagged)} flagged")


def _arrivals(session: Session, alert: Alert, station_ids: Sequence[int], now: datetime, palette: Palette) -> Evidence:
    since, until, bucket = window(alert, now)
    frames: Counter[datetime] = Counter()
    for station_id in station_ids:
        for point in trends.trend(session, station_id, since, until, bucket):
            frames[point.started_at] += point.frames
    title = "Frames captured around the alert"
    if not frames:
        return Evidence(title, None, NO_FRAMES)
    option = arrivals.arrivals(frames, since, until, bucket, palette)
    return Evidence(title, with_alert_shaded(option, alert, until, palette), f"{title}: {frames.total()} frames")


def _drift_until(session: Session, alert: Alert, station_id: int) -> datetime:
    """Return when the chart of a drift ends: soon after the alert opened, so that the opening stays within it."""
    latest = alert.opened_at + AFTER_DRIFT
    newest = verdicts.recent(session, station_id, until=alert.opened_at, decision="pass", limit=1)
    if not newest or newest[0].normal_set_id is None or newest[0].model_id is None:
        return latest
    scale = ScoreScale(newest[0].normal_set_id, newest[0].model_id, newest[0].mask_version)
    after = rule_inputs.passed_since(session, station_id, scale, alert.opened_at, FRAMES_AFTER_DRIFT)
    return latest if len(after) < FRAMES_AFTER_DRIFT else min(latest, after[-1].captured_at)


def _drift(session: Session, alert: Alert, station_id: int, zone: tzinfo, now: datetime, palette: Palette) -> Evidence:
    parameters = effective_rules.parameters(alert_rules.list_all(session), station_id, alert.rule)
    period = InControlPeriod(frames=int(parameters.get("in_control_frames", in_control.DEFAULT_FRAMES)))
    robust = bool(parameters.get("robust"))
    until = _drift_until(session, alert, station_id)
    data = in_control.control_data(session, station_id, period, robust=robust, until=until)
    is_individuals = alert.rule == "western_electric"
    title = "Scores of good frames against the limits" if is_individuals else "Average score of good frames"
    if isinstance(data, str):
        return Evidence(title, None, data)
    times = [formatting.clock(frame.captured_at, now, zone) for frame in data.frames]
    if is_individuals:
        option = control_charts.individuals(individuals(data.log_scores, data.process), data.process, times, palette)
    else:
        process = data.process.corrected_for_sample_size()  # the limits that the drift rule uses
        average = ewma(data.log_scores, process, float(parameters["ewma_weight"]), float(parameters["ewma_width"]))
        option = control_charts.ewma(average, times, palette)
    index = bisect_left(data.frames, alert.opened_at, key=lambda frame: frame.captured_at)
    return Evidence(title, control_charts.with_alert_at(option, min(index, len(times) - 1), palette), title)
