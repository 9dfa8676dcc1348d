"""The demo runs from camera to verdict, survives the death of its scorer, and stops without leaving anything behind."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from alerts.rules.registry import create_rule
from alerts.rules.rule import Raised
from alerts.rules.score_drift import ScoreDrift
from alerts.views import StationView
from andon.demo.preparation import DemoAlreadyRunning
from storage.alerts import alert_rules, alerts
from storage.alerts.rule_inputs import VerdictEvent
from storage.auth import audit_log
from storage.database.engine import Database
from storage.errors import StorageError
from storage.line import stations, verdicts
from storage.line.verdicts import Verdict
from testing.command_line import Andon, Start
from testing.ports import free_port

PATIENCE_S = 600.0
RATE_FPS = 2  # the scorer keeps up with three such cameras while six other processes keep both cores busy
SILENT_FOR_S = 32.0  # andon/demo/plan.py
FADING_FROM = 50  # the first frame of brick under the fading lamp
DRIFT_WITHIN_FRAMES = 40  # docs/reference/alerts.md: from that frame to the alert


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s"
        time.sleep(0.05)


def verdict_count(home: Path) -> int:
    if not (home / "andon.db").exists():
        return 0
    with closing(Database(f"sqlite:///{home / 'andon.db'}")) as database:
        try:
            with database.read() as session:
                return verdicts.count(session)
        except StorageError:  # the demo is just creating it
            return 0


def pid_of(home: Path, name: str) -> int:
    return int((home / "run" / f"{name}.pid").read_text())


@pytest.mark.timeout(900)
def test_no_frame_is_lost_when_the_scorer_is_killed(start_andon: Start, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    demo = start_andon("demo", "--headless", "--frames", 45, "--rate", 5, "--home", home)
    wait_until(lambda: verdict_count(home) >= 5, demo)
    os.kill(pid_of(home, "scorer"), signal.SIGKILL)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, out + err
    assert "All 45 frames got a verdict." in out
    for station in ("coins", "brick", "gravel"):
        frames, verdict_total = re.search(rf"^{station} +(\d+) +(\d+)", out, re.MULTILINE).groups()  # type: ignore[union-attr]
        assert (frames, verdict_total) == ("15", "15")
    assert verdict_count(home) == 45


@pytest.mark.timeout(900)
def test_the_fading_lamp_and_the_silent_camera_open_one_alert_each(start_andon: Start, tmp_path: Path) -> None:
    """Check what must hold at any load of the machine: which alerts open, and how soon, in frames and not seconds."""
    home = tmp_path / "demo"
    demo = start_andon("demo", "--headless", "--home", home, "--rate", RATE_FPS)
    out, err = demo.communicate(timeout=840)
    assert demo.returncode == 0, out + err
    with closing(Database(f"sqlite:///{home / 'andon.db'}")) as database, database.read() as session:
        names = {station.id: station.name for station in stations.list_all(session)}
        opened = {(names.get(alert.station_id or 0), alert.rule): alert for alert in alerts.recent(session)}
        assert set(opened) == {("brick", "score_drift"), ("gravel", "silent_camera")}
        assert alerts.count(session) == 2, [(one.rule, one.opened_at, one.message) for one in alerts.recent(session)]
        actions = Counter(entry.action for entry in audit_log.list_entries(session) if entry.actor == "andon demo")
        (brick,) = (station_id for station_id, name in names.items() if name == "brick")
        brick_verdicts = list(reversed(verdicts.recent(session, brick, limit=200)))
        (drift,) = (setting for setting in alert_rules.list_all(session) if setting.kind == ScoreDrift.kind)
    assert actions == {"alert_rule.set": 1, "station.add": 3, "normal_set.add": 3, "normal_set.activate": 3}
    silent = opened["gravel", "silent_camera"]
    assert silent.evidence["silent_s"] < SILENT_FOR_S
    assert silent.resolved_at is not None
    assert opened["brick", "score_drift"].resolved_at is None
    assert frames_until_raised(brick_verdicts, drift.parameters) - FADING_FROM <= DRIFT_WITHIN_FRAMES


def frames_until_raised(brick_verdicts: Sequence[Verdict], parameters: Mapping[str, Any]) -> int:
    """The number of frames after which score_drift raises, when it is evaluated after every frame."""
    rule = create_rule(ScoreDrift.kind, parameters)
    events = [
        VerdictEvent(
            pid,
            verdict.station_id,
            verdict.captured_at,
            verdict.published_at,
            verdict.decided_at,
            verdict.decision,
            verdict.score,
            verdict.normal_set_id,
            verdict.model_id,
        )
        for pid, verdict in enumerate(brick_verdicts)
    ]
    passed = [event for event in events if event.decision == "pass"][: rule.in_control_frames]
    for count in range(1, len(events) + 1):
        view = StationView(events[count - 1].decided_at, "brick", events[:count], in_control=passed)
        if isinstance(rule.evaluate(view), Raised):
            return count
    raise AssertionError("score_drift is never raised")


@pytest.mark.timeout(900)
def test_a_demo_serves_its_dashboard_refuses_a_second_demo_and_stops_when_interrupted(
    andon: Andon, start_andon: Start, tmp_path: Path
) -> None:
    home = tmp_path / "demo"
    demo = start_andon("demo", "--no-browser", "--home", home, "--port", free_port())
    wait_until(lambda: (home / "run" / "dashboard.pid").exists() and verdict_count(home) >= 3, demo)
    port = re.search(r"\[dashboard\]\nport = (\d+)", (home / "andon.toml").read_text())
    assert port is not None

    def is_served() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port[1]}/", timeout=2) as page:
                return bool(page.status == 200)
        except OSError:
            return False

    wait_until(is_served, demo)
    second = andon("demo", "--headless", "--frames", 3, "--home", home)
    assert second.code == 1
    assert isinstance(second.error, DemoAlreadyRunning)
    pids = [
        pid_of(home, name)
        for name in ("scorer", "dashboard", "alerts", "camera-coins", "camera-brick", "camera-gravel")
    ]
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, out + err
    assert f"http://127.0.0.1:{port[1]}" in out
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_frames_without_headless_is_a_usage_error(andon: Andon) -> None:
    finished = andon("demo", "--frames", 30)
    assert finished.code == 2
    assert "--headless" in finished.err
