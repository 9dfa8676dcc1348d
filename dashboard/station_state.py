"""The state of a station, derived from its summary and the scorers, with the text and icon to show it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from dashboard import formatting
from imaging.quality.picture_problem import explain
from storage.alerts.alerts import Alert
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES
from storage.line.stations import Station
from storage.line.workers import WorkerStatus
from storage.rollups.station_summaries import StationSummary

LATE_AFTER = timedelta(seconds=10)  # five heartbeats; a busy machine delays one or two
NORMAL_BACKLOG_FRAMES = 50  # busy scorers always have this many before them; only a larger backlog explains silence
StateKind = Literal[
    "running",
    "stale",
    "no_scorer",
    "no_heartbeat",
    "scorer_starts",
    "scorer_waits",
    "catching_up",
    "no_normal_set",
    "no_frames",
    "bad_picture",
]
Tone = Literal["good", "bad", "warn", "idle", "unseen"]


@dataclass(frozen=True, slots=True)
class StationState:
    """A station's state: `headline` in large type, `explanation` under it, `icon` a Material symbol."""

    kind: StateKind
    tone: Tone
    icon: str
    headline: str
    explanation: str = ""


def alive(workers: Sequence[WorkerStatus], now: datetime, timeout: timedelta) -> list[WorkerStatus]:
    """Return the workers that have not stopped and whose last heartbeat is at most `timeout` old."""
    return [worker for worker in workers if worker.state != "stopped" and now - worker.seen_at <= timeout]


def silent(workers: Sequence[WorkerStatus], now: datetime, timeout: timedelta) -> list[WorkerStatus]:
    """Return the workers that have not said that they stopped, and whose last heartbeat is older than `timeout`."""
    return [worker for worker in workers if worker.state != "stopped" and now - worker.seen_at > timeout]


def heartbeat_gap(workers: Sequence[WorkerStatus], now: datetime) -> timedelta | None:
    """Return the time since the newest heartbeat of these workers where it is late; None otherwise, or without one."""
    gap = min((now - worker.seen_at for worker in workers), default=timedelta(0))
    return gap if gap > LATE_AFTER else None


def station_state(
    station: Station,
    summary: StationSummary,
    workers: Sequence[WorkerStatus],
    now: datetime,
    *,
    has_active_set: bool,
    silent: Sequence[WorkerStatus] = (),
) -> StationState:
    """Return the most important thing to know about a station now.

    `workers` are those alive, and `silent` those whose heartbeats ended though they did not stop.
    """
    if not has_active_set and station.settings.without_normals == "wait":
        return _without_normals(summary)
    if summary.latest is None and not summary.parked:
        if workers and all(worker.state == "starting" for worker in workers):
            explanation = "It loads its model, and scores the frames that came meanwhile as soon as it has."
            return StationState("scorer_starts", "idle", "hourglass_top", "Scorer starts", explanation)
        return StationState(
            "no_frames", "idle", "hourglass_empty", "No frames yet", "This station has not captured a frame yet."
        )
    silence_s = (now - summary.latest.arrived_at).total_seconds() if summary.latest else float("inf")
    if silence_s <= station.settings.stale_after_s:
        if summary.latest is not None and summary.latest.picture_problem is not None:
            explanation = explain(summary.latest.picture_problem)
            return StationState("bad_picture", "unseen", "visibility_off", "Bad picture", explanation)
        gap = heartbeat_gap([*workers, *silent], now)
        if gap is not None:
            return _no_heartbeat(gap, "bad" if not workers else "warn")
        if has_active_set:
            return StationState("running", "good", "check_circle", "Running")
        return StationState("no_normal_set", "warn", "rule", "No normal set", "Frames are not scored.")
    if not workers and (gap := heartbeat_gap(silent, now)) is not None:
        return _no_heartbeat(gap, "bad")
    if not workers:
        return StationState(
            "no_scorer", "bad", "power_off", "No scorer running", "Frames may be waiting, but no scorer reads them."
        )
    waiting = [worker for worker in workers if worker.state == "waiting"]
    if len(waiting) == len(workers):
        return StationState("scorer_waits", "warn", "pause_circle", "Scorer waits", waiting[0].message)
    backlog = sum(worker.lag for worker in workers) + summary.parked
    if backlog > NORMAL_BACKLOG_FRAMES:
        explanation = f"{formatting.plural(backlog, 'frame')} to score."
        return StationState("catching_up", "warn", "hourglass_top", "Catching up", explanation)
    expected = formatting.duration(station.settings.stale_after_s)
    return StationState(
        "stale",
        "bad",
        "signal_disconnected",
        f"Silent for {formatting.duration(silence_s)}",
        f"A frame is expected at least every {expected}.",
    )


def with_alerts(state: StationState, alerts: Sequence[Alert]) -> StationState:
    """Return the state, or that alerts are open where it looks good and they are worse than good.

    Args:
        state: The station's state.
        alerts: Its unresolved alerts; acknowledged ones and mere information leave a good state good.
    """
    opened = [alert for alert in alerts if alert.state == "opened" and alert.severity != "info"]
    if state.tone != "good" or not opened:
        return state
    is_critical = any(alert.severity == "critical" for alert in opened)
    headline = formatting.plural(len(opened), "open alert")
    return replace(state, tone="bad" if is_critical else "warn", icon="warning", headline=headline)


def _no_heartbeat(gap: timedelta, tone: Tone) -> StationState:
    headline = f"No heartbeat for {formatting.duration(gap.total_seconds())}"
    explanation = "The scorer has died, or it can't write to the database."
    return StationState("no_heartbeat", tone, "heart_broken", headline, explanation)


def _without_normals(summary: StationSummary) -> StationState:
    explanation = f"It needs {MIN_IMAGES} to {MAX_IMAGES} images of good parts."
    if summary.parked:
        verb = "waits" if summary.parked == 1 else "wait"
        explanation = f"{formatting.plural(summary.parked, 'frame')} {verb} for a normal set."
    return StationState("no_normal_set", "warn", "rule", "No normal set", explanation)
