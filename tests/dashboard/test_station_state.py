from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.station_state import LATE_AFTER, StationState, alive, silent, station_state, with_alerts
from imaging.quality.picture_problem import EXPLANATIONS, PictureProblem
from storage.alerts.alerts import Alert, AlertState, Severity
from storage.line.stations import Station, StationSettings
from storage.line.workers import WorkerState, WorkerStatus
from storage.rollups.station_summaries import StationSummary
from tests.dashboard.seeding import bare

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def worker(state: WorkerState = "running", lag: int = 0, seen_s_ago: float = 1, message: str = "") -> WorkerStatus:
    return WorkerStatus("scorer-1", state, message, "nearest-patch", lag, NOW, NOW - timedelta(seconds=seen_s_ago))


def state(
    *,
    age_s: float | None = 1,
    parked: int = 0,
    active: bool = True,
    workers: tuple[WorkerStatus, ...] = (worker(),),
    without_normals: str = "wait",
    problem: str | None = None,
    silent: tuple[WorkerStatus, ...] = (),
) -> StationState:
    """Return the state of a station that is silent after 60 s; its last frame is `age_s` old, None for no frame."""
    station = Station(1, "s1", StationSettings(without_normals=without_normals, stale_after_s=60), NOW)  # type: ignore[arg-type]
    at = NOW - timedelta(seconds=age_s or 0)
    latest = bare(at, 0.2)
    if problem is not None:
        latest = replace(latest, decision="bad_picture", score=None, threshold=None, picture_problem=problem)
    summary = StationSummary(1, None if age_s is None else latest, 5, 0, 0, parked, ())
    return station_state(station, summary, workers, NOW, has_active_set=active, silent=silent)


def test_a_station_runs_while_its_last_frame_is_fresh() -> None:
    assert state(age_s=60).kind == "running"
    assert state(age_s=60, workers=()).kind == "running"  # the scorer may just have stopped


def test_a_fresh_bad_picture_is_told_with_the_way_out_and_an_old_one_is_silence() -> None:
    now = state(age_s=60, problem="dark")
    assert (now.kind, now.tone) == ("bad_picture", "unseen")
    assert now.explanation == EXPLANATIONS[PictureProblem.DARK]
    assert state(age_s=190, problem="dark").kind == "stale"


def test_silence_is_the_camera_s_when_scorers_run() -> None:
    silent = state(age_s=190)
    assert (silent.kind, silent.tone, silent.headline) == ("stale", "bad", "Silent for 3 min")
    assert silent.icon
    assert "1 min" in silent.explanation
    assert state(age_s=190, workers=(worker(lag=3),)).kind == "stale"


def test_silence_is_the_scorers_when_none_runs_or_all_wait() -> None:
    assert state(age_s=190, workers=()).kind == "no_scorer"
    waits = state(age_s=190, workers=(worker("waiting", message="The bus is away."),))
    assert (waits.kind, waits.explanation) == ("scorer_waits", "The bus is away.")


def test_a_backlog_explains_silence() -> None:
    behind = state(age_s=190, workers=(worker(lag=1200),))
    assert (behind.kind, behind.explanation) == ("catching_up", "1,200 frames to score.")
    assert state(age_s=None, parked=90).kind == "catching_up"


def test_a_station_without_normal_set_says_what_happens_to_its_frames() -> None:
    assert state(active=False, age_s=None, parked=37).explanation.startswith("37 frames")
    assert state(active=False, age_s=None).kind == "no_normal_set"
    assert state(active=False, without_normals="no_reference").kind == "no_normal_set"
    assert state(active=False, without_normals="no_reference", age_s=190).kind == "stale"


def test_a_station_that_never_saw_a_frame_is_not_called_silent() -> None:
    assert state(age_s=None).kind == "no_frames"
    assert state(age_s=None, workers=(worker("starting"),)).kind == "scorer_starts"
    assert state(age_s=None, workers=(worker("starting"), worker())).kind == "no_frames"


def test_a_worker_is_alive_with_a_recent_heartbeat_until_it_stops() -> None:
    workers = [worker(seen_s_ago=29), worker(seen_s_ago=31), worker("stopped"), worker("waiting")]
    assert alive(workers, NOW, timedelta(seconds=30)) == [workers[0], workers[3]]


def alert(severity: Severity, state: AlertState = "opened") -> Alert:
    return Alert(1, 1, "score_drift", severity, state, "", {}, NOW, NOW, None, None, None, None, "")


@pytest.mark.parametrize(
    ("alerts", "tone"),
    [
        ((), "good"),
        ((alert("info"),), "good"),
        ((alert("critical", "acknowledged"),), "good"),
        ((alert("warning"),), "warn"),
        ((alert("warning"), alert("critical")), "bad"),
    ],
)
def test_a_station_that_runs_is_as_good_as_its_worst_open_alert(alerts: tuple[Alert, ...], tone: str) -> None:
    assert with_alerts(state(), alerts).tone == tone


def test_an_alert_hides_no_worse_state() -> None:
    silent = state(age_s=100)
    assert with_alerts(silent, [alert("warning")]) == silent


def test_a_scorer_whose_heartbeats_end_is_told_after_ten_seconds_though_frames_are_fresh() -> None:
    late = LATE_AFTER.total_seconds() + 2
    assert state(age_s=12, workers=(worker(seen_s_ago=late - 3),)).kind == "running"  # a busy machine
    told = state(age_s=12, workers=(worker(seen_s_ago=late),))
    assert (told.kind, told.tone, told.headline) == ("no_heartbeat", "warn", "No heartbeat for 12 s")
    dead = state(age_s=31, workers=(), silent=(worker(seen_s_ago=31),))
    assert (dead.kind, dead.tone, dead.headline) == ("no_heartbeat", "bad", "No heartbeat for 31 s")
    assert state(age_s=190, workers=(), silent=(worker(seen_s_ago=190),)).kind == "no_heartbeat"
    assert state(age_s=12, silent=(worker(seen_s_ago=999),)).kind == "running"  # another one runs


def test_a_scorer_that_stopped_is_not_silent() -> None:
    workers = [worker(seen_s_ago=31), worker("stopped", seen_s_ago=31), worker(seen_s_ago=1)]
    assert silent(workers, NOW, timedelta(seconds=30)) == workers[:1]
