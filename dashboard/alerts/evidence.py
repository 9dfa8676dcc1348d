"""What an alert was decided by, as one picture: the frames around it, a control chart, or its bare numbers."""

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
from dashboard.charts import in_control, quality, scores
from dashboard.charts.in_control import InControlPeriod
from dashboard.charts.scores import Option
from dashboard.theme import Palette
from storage.alerts import alert_rules
from storage.alerts.alerts import Alert
from storage.line import verdicts
from storage.line.verdicts import TrendPoint, Verdict

BEFORE, AFTER, LONGEST = timedelta(minutes=30), timedelta(minutes=5), timedelta(hours=6)
BUCKETS = 120
MOST_FLAGGED = 300
OF_FRAMES = ("consecutive", "k_of_n", "flagged_share")
OF_ARRIVALS = ("silent_camera", "scorer_down")
OF_DRIFT = ("score_drift", "western_electric")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A chart with what it shows in words; without a chart, why there is none."""

    title: str
    option: Option | None
    says: str


def read(
    session: Session, alert: Alert, station_ids: Sequence[int], now: datetime, zone: tzinfo, colours: Palette
) -> Evidence:
    """The evidence of this alert as far as it is kept; `station_ids` are all stations, for alerts of the line."""
    if alert.rule in OF_FRAMES and alert.station_id is not None:
        return _frames(session, alert, alert.station_id, now, colours)
    if alert.rule in OF_ARRIVALS:
        places = station_ids if alert.station_id is None else [alert.station_id]
        return _arrivals(session, alert, places, now, colours)
    if alert.rule in OF_DRIFT and alert.station_id is not None:
        return _drift(session, alert, alert.station_id, zone, now, colours)
    return numbers(
        alert, effective_rules.parameters(alert_rules.list_all(session), alert.station_id, alert.rule), colours
    )


def numbers(alert: Alert, parameters: Mapping[str, Any], colours: Palette) -> Evidence:
    """The alert's own numbers against the rule's limit."""
    facts, limit = alert.evidence, None
    unit = ""
    if alert.rule == "dead_letter_burst":
        found = {str(reason): float(count) for reason, count in dict(facts.get("reasons", {})).items()}
        title = f"Dead letters in {formatting.duration(float(facts.get('window_s', 0)))}, by reason"
    elif alert.rule == "growing_lag":
        found = {"then": float(facts.get("lag_before", 0)), "now": float(facts.get("lag", 0))}
        title, limit = "Frames that wait for a scorer", parameters.get("frames")
    elif alert.rule == "disk_nearly_full":
        found = {str(name): round(100 * float(share), 1) for name, share in facts.items()}
        title, unit, limit = "How full", "%", 100 * float(parameters.get("limit", 1.0))
    elif alert.rule == "old_normal_set":
        found = {"age": float(facts.get("days", 0))}
        title, unit, limit = "Age of the active normal set", "days", parameters.get("days")
    else:
        found = {
            str(name): float(value)
            for name, value in facts.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        title = "What it was decided by"
    if not found:
        return Evidence(title, None, "This alert brought no numbers.")
    return Evidence(title, quality.bars(found, unit, limit, colours), f"{title}: {found}")


def window(alert: Alert, now: datetime) -> tuple[datetime, datetime, timedelta]:
    """From half an hour before it opened until it was over (six hours at most), and into how wide buckets to cut it."""
    since = alert.opened_at - BEFORE
    until = min((alert.resolved_at or now) + AFTER, since + LONGEST)
    seconds = max(5, round((until - since).total_seconds() / BUCKETS / 5) * 5)
    bucket = timedelta(seconds=seconds if seconds < 60 else 60 * round(seconds / 60))
    return since, until, bucket


def marked(option: Option, alert: Alert, until: datetime, colours: Palette) -> Option:
    """The chart with the alert's time shaded, from when it opened until it was resolved or the picture ends."""
    end = min(alert.resolved_at or until, until)
    area = {
        "silent": True,
        "itemStyle": {"color": colours.flag_wash, "opacity": 0.55},
        "label": {"show": True, "position": "insideTopLeft", "formatter": "alert", "color": colours.flag},
        "data": [[{"xAxis": _milliseconds(alert.opened_at)}, {"xAxis": _milliseconds(end)}]],
    }
    first, *others = option["series"]
    return option | {"series": [first | {"markArea": area}, *others]}


def arrivals(
    points: Mapping[datetime, int], since: datetime, until: datetime, bucket: timedelta, colours: Palette
) -> Option:
    """How many frames were captured in each bucket; a bucket without any is a gap one can see."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 12, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "min": _milliseconds(since),
            "max": _milliseconds(until),
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": colours.border, "type": "dashed"}},
        },
        "series": [
            {
                "name": f"frames in {formatting.duration(bucket.total_seconds())}",
                "type": "bar",
                "barMaxWidth": 8,
                "barMinWidth": 2,
                "data": [[_milliseconds(at), frames] for at, frames in sorted(points.items())],
                "itemStyle": {"color": colours.accent},
            }
        ],
    }


def _frames(session: Session, alert: Alert, station_id: int, now: datetime, colours: Palette) -> Evidence:
    since, until, bucket = window(alert, now)
    points: list[TrendPoint] = verdicts.trend(session, station_id, since, until, bucket)
    flagged: list[Verdict] = verdicts.recent(
        session, station_id, since=since, until=until, decision="flag", limit=MOST_FLAGGED
    )
    title = "Scores around the alert"
    if not points:
        return Evidence(title, None, "No frames of that time are kept.")
    option = scores.trend(points, flagged, since, until, bucket, colours)
    return Evidence(title, marked(option, alert, until, colours), f"{title}, {len(flagged)} flagged")


def _arrivals(session: Session, alert: Alert, station_ids: Sequence[int], now: datetime, colours: Palette) -> Evidence:
    since, until, bucket = window(alert, now)
    found: Counter[datetime] = Counter()
    for station_id in station_ids:
        for point in verdicts.trend(session, station_id, since, until, bucket):
            found[point.started_at] += point.frames
    title = "Frames captured around the alert"
    if not found:
        return Evidence(title, None, "No frames of that time are kept.")
    option = arrivals(found, since, until, bucket, colours)
    return Evidence(title, marked(option, alert, until, colours), f"{title}: {sum(found.values())} frames")


def _drift(session: Session, alert: Alert, station_id: int, zone: tzinfo, now: datetime, colours: Palette) -> Evidence:
    settings = effective_rules.parameters(alert_rules.list_all(session), station_id, alert.rule)
    period = InControlPeriod(frames=int(settings.get("in_control_frames", in_control.FIRST)))
    found = in_control.drawn(
        session, station_id, period, robust=bool(settings.get("robust")), until=alert.opened_at + BEFORE
    )
    title = (
        "Good frames against the limits" if alert.rule == "western_electric" else "Average of the good frames' scores"
    )
    if isinstance(found, str):
        return Evidence(title, None, found)
    times = [formatting.clock(frame.captured_at, now, zone) for frame in found.frames]
    if alert.rule == "western_electric":
        singles = individuals(found.logs, found.process)
        option = quality.individuals(singles, found.process, times, colours)
    else:
        process = found.process.corrected_for_sample_size()  # as the rule draws its limits
        average = ewma(found.logs, process, float(settings["ewma_weight"]), float(settings["ewma_width"]))
        option = quality.ewma(average, times, colours)
    opened = bisect_left(found.frames, alert.opened_at, key=lambda frame: frame.captured_at)
    return Evidence(title, quality.opened_at(option, min(opened, len(times) - 1), colours), title)


def _milliseconds(at: datetime) -> float:
    return at.timestamp() * 1000
