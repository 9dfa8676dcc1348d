"""What a station is up to, told from its summary and the workers: one state, in words, with an icon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dashboard import formatting
from storage.line.stations import Station
from storage.line.verdicts import StationSummary
from storage.line.workers import WorkerStatus

A_FEW_FRAMES = 50  # that many always lie before busy scorers; only more of them explain a station's silence
StateKind = Literal["running", "stale", "no_scorer", "scorer_waits", "catching_up", "no_normal_set", "no_frames"]
Tone = Literal["good", "bad", "warn", "idle"]


@dataclass(frozen=True, slots=True)
class StationState:
    """`headline` stands on the tile in large type, `explanation` is the sentence under it, `icon` a Material symbol."""

    kind: StateKind
    tone: Tone
    icon: str
    headline: str
    explanation: str = ""


def alive(workers: Sequence[WorkerStatus], now: datetime, timeout: timedelta) -> list[WorkerStatus]:
    """The workers that have not stopped and were seen within `timeout`."""
    return [worker for worker in workers if worker.state != "stopped" and now - worker.seen_at <= timeout]


def station_state(
    station: Station, summary: StationSummary, active_set: bool, workers: Sequence[WorkerStatus], now: datetime
) -> StationState:
    """The one thing a person should know of this station now; `workers` are those alive."""
    if not active_set and station.settings.without_normals == "wait":
        return _without_normals(summary)
    if summary.latest is None and not summary.parked:
        return StationState(
            "no_frames", "idle", "hourglass_empty", "No frames yet", "Nothing has been captured here so far."
        )
    silence = (now - summary.latest.captured_at).total_seconds() if summary.latest else float("inf")
    fresh = silence <= station.settings.stale_after_s
    if not fresh and not workers:
        return StationState(
            "no_scorer", "bad", "power_off", "No scorer running", "Frames may be waiting; nothing looks at them."
        )
    waiting = [worker for worker in workers if worker.state == "waiting"]
    if not fresh and waiting and len(waiting) == len(workers):
        return StationState("scorer_waits", "warn", "pause_circle", "Scorer waits", waiting[0].message)
    behind = sum(worker.lag for worker in workers) + summary.parked
    if not fresh and behind > A_FEW_FRAMES:
        return StationState(
            "catching_up",
            "warn",
            "hourglass_top",
            "Catching up",
            f"{formatting.plural(behind, 'frame')} still to be scored.",
        )
    if not fresh:
        return StationState(
            "stale",
            "bad",
            "signal_disconnected",
            f"Silent for {formatting.duration(silence)}",
            f"A frame is expected at least every {formatting.duration(station.settings.stale_after_s)}.",
        )
    if not active_set:
        return StationState("no_normal_set", "warn", "rule", "No normal set", "Frames pass by without a verdict.")
    return StationState("running", "good", "check_circle", "Running")


def _without_normals(summary: StationSummary) -> StationState:
    waiting = (
        f"{formatting.plural(summary.parked, 'frame')} wait for it."
        if summary.parked
        else "It needs 2 to 64 good parts."
    )
    return StationState("no_normal_set", "warn", "rule", "No normal set", waiting)
