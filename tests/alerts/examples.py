"""Views and rows for rules to evaluate, with a default for everything that a test does not set."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from alerts.views import LineView, StationView
from storage.alerts.alerts import Alert
from storage.alerts.rule_inputs import VerdictEvent
from tests.storage.examples import NOON

SECOND = timedelta(seconds=1)


def verdict_event(
    number: int, *, flagged: bool = False, score: float = 0.25, at: datetime | None = None
) -> VerdictEvent:
    """Frame `number` of a line with one frame per second, captured `number` seconds after noon."""
    when = at or NOON + number * SECOND
    return VerdictEvent(number + 1, 1, when, when, when, "flag" if flagged else "pass", score, 1, "m")


def bad_picture_event(number: int, problem: str = "dark") -> VerdictEvent:
    """Frame `number` of such a line, a bad picture."""
    when = NOON + number * SECOND
    return VerdictEvent(number + 1, 1, when, when, when, "bad_picture", None, 1, None, picture_problem=problem)


def verdict_events(flags: str, first: int = 0) -> list[VerdictEvent]:
    """Return one frame per character: ``"..xb"`` gives two good frames, a flagged one and a bad picture."""
    return [
        bad_picture_event(number) if flag == "b" else verdict_event(number, flagged=flag == "x")
        for number, flag in enumerate(flags, start=first)
    ]


def station_view(
    rows: Sequence[VerdictEvent] = (),
    *,
    now: datetime | None = None,
    since: datetime | None = None,
    is_open: bool = False,
    in_control: Sequence[VerdictEvent] = (),
    stale_after_s: float = 60.0,
    decided_until: datetime | None = None,
) -> StationView:
    """Return a station at the moment at which its newest frame was decided, or at `now`."""
    moment = now or (rows[-1].decided_at if rows else NOON)
    view = StationView(
        now=moment,
        station="s1",
        frames=rows,
        last_arrived_at=max((row.arrived_at for row in rows), default=None),
        decided_until=decided_until or moment,
        in_control=in_control,
        active_since=NOON,
        stale_after_s=stale_after_s,
    )
    return view.for_rule(since, is_open)


def good_verdict_events(count: int, shift: float = 0.0, seed: int = 1, first: int = 0) -> list[VerdictEvent]:
    """Frames that passed, with log-normal scores whose log has sigma 0.2 and is shifted by `shift` sigmas."""
    logs = np.random.default_rng(seed).normal(-1.5 + 0.2 * shift, 0.2, count)
    return [verdict_event(first + number, score=float(np.exp(log))) for number, log in enumerate(logs)]


def line_view(now: datetime = NOON) -> LineView:
    return LineView(now=now)


def make_alert(alert_id: int = 1, station_id: int | None = 1, rule: str = "k_of_n", at: datetime = NOON) -> Alert:
    return Alert(alert_id, station_id, rule, "warning", "opened", "", {}, at, at, None, None, None, None, "")
