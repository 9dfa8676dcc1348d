"""Adds users, alerts, reviews, a channel and a mute to a seeded line."""

from datetime import datetime, timedelta
from uuid import uuid4

import numpy as np

from storage.actions import alerts as alert_actions
from storage.actions import channels as channel_actions
from storage.actions import reviews as review_actions
from storage.actions import users as user_actions
from storage.alerts import alerts
from storage.alerts.alerts import Alert, Severity
from storage.auth import users
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.line import stations, verdicts
from storage.review.reviews import LabelSubmission
from tests.dashboard.seeding import SeededStorage

ADMIN = Actor(SINGLE_USER, Role.ADMIN)
PASSWORD = "correct horse battery"
DEFECTS = ("scratch", "dent", "stain", "missing part", "crack")
SHARES = (0.42, 0.24, 0.17, 0.11, 0.06)


def add_users(line: SeededStorage, at: datetime) -> dict[Role, Actor]:
    """Add one user per role, named after it; all have the same password."""
    with line.database.begin() as session:
        user_actions.add(session, ADMIN, "admin", Role.ADMIN, PASSWORD, at)
        admin = Actor("admin", Role.ADMIN)
        for role in (Role.VIEWER, Role.INSPECTOR, Role.ENGINEER):
            user_actions.add(session, admin, str(role), role, PASSWORD, at)
    return {role: Actor(str(role), role) for role in Role}


def user(line: SeededStorage, name: str, role: Role, at: datetime) -> Actor:
    """Add a user without a password; before the first one, an admin named ``admin``."""
    with line.database.begin() as session:
        if not users.any_exist(session):
            users.add(session, "admin", Role.ADMIN, None, at)
        return users.add(session, name, role, None, at).actor


def alert(
    line: SeededStorage,
    station_id: int | None,
    rule: str,
    message: str,
    at: datetime,
    severity: Severity = "warning",
    **evidence: object,
) -> Alert:
    """An alert that opened at that time and is open."""
    with line.database.begin() as session:
        opened = alerts.open_episode(session, station_id, rule, severity, message, evidence, at)
    assert opened is not None
    return opened


def reviewed(line: SeededStorage, station_id: int, number: int, at: datetime, false_alarms: float = 0.4) -> None:
    """Label the newest flagged frames, a share of them as false rejects, and as many passed ones."""
    chance = np.random.default_rng(station_id)
    with line.database.begin() as session:
        flagged = verdicts.recent(session, station_id, decision="flag", limit=number)
        passed = verdicts.recent(session, station_id, decision="pass", limit=number)
        submissions = []
        for frame in flagged:
            good = chance.random() < false_alarms
            tags = () if good else (str(chance.choice(DEFECTS, p=SHARES)),)
            submissions.append(LabelSubmission(uuid4(), frame.frame_id, "false_alarm" if good else "defect", tags))
        for index, frame in enumerate(passed):
            submissions.append(LabelSubmission(uuid4(), frame.frame_id, "defect" if index == 0 else "false_alarm"))
        review_actions.label(session, ADMIN, submissions, at)


def seed_activity(line: SeededStorage, now: datetime) -> None:
    """Add a morning's alerts and reviews: two stations and the line need attention, one alert is over."""
    with line.database.begin() as session:
        ids = {station.name: station.id for station in stations.list_all(session)}
        channel_actions.add(session, ADMIN, "quality e-mail", "mailtos://user:secret@example.org", "warning", now)
        channel_actions.add(session, ADMIN, "shift chat", "json://localhost:9/hook", "critical", now)
    minutes = timedelta(minutes=1)
    for name in ("coin-tray", "brick-press", "coating-2"):
        reviewed(line, ids[name], 60, now - 30 * minutes)
    alert(
        line,
        ids["turf-cutter"],
        "silent_camera",
        "No frame for 405 s; one is expected within 60 s.",
        now - 5 * minutes,
        "critical",
        silent_s=405.0,
        after_s=60.0,
    )
    drift = alert(
        line,
        ids["coating-2"],
        "score_drift",
        "Scores of good parts are 1.31 times what they were, rising for about 900 good frames (CUSUM and EWMA).",
        now - 190 * minutes,
        charts=["CUSUM", "EWMA"],
        factor=1.31,
    )
    past = alert(
        line,
        ids["coin-tray"],
        "flagged_share",
        "61 of the last 200 frames were flagged (30%).",
        now - 400 * minutes,
        flagged=61,
        frames=200,
        share=0.305,
        limit=0.2,
    )
    alert(
        line,
        None,
        "dead_letter_burst",
        "14 messages became dead letters within 10 minutes, most often because of corrupt-image.",
        now - 12 * minutes,
        letters=14,
        reasons={"corrupt-image": 9, "unknown-station": 4, "no-headers": 1},
        window_s=600.0,
    )
    with line.database.begin() as session:
        alert_actions.acknowledge(session, ADMIN, drift.id, now - 150 * minutes, "lamp ordered, comes at two")
        alert_actions.resolve(session, ADMIN, past.id, now - 360 * minutes, "feeder was jammed")
        alert_actions.mute(session, ADMIN, "wafer-scan", now + 90 * minutes, "camera is being mounted", now)
