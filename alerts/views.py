"""What a rule is shown: a station or the whole line at one moment, as rows that nobody changes."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from storage.alerts.rule_inputs import DeadLetterEvent, VerdictEvent

MAX_FRAMES = 500  # newest frames of a station that rules can look back on
MAX_IN_CONTROL_FRAMES = 500  # frames at most that limits are drawn from
ALERT_HORIZON = timedelta(hours=1)  # what ended longer ago opens no alert: it is history, not news
LAG_HISTORY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class StationView:
    """One station; `frames` are its newest, oldest captured first, none from before `since`.

    `since` is when this rule's last alert there was resolved, or a mute ended: what came before has been dealt with.
    `in_control` are the first frames that passed since the active normal set is active, by the model in use.
    `last_published_at` is when its newest frame was published. `decided_until`: what was published before then has
    been decided,
    as far as can be told; None where it can't. A camera is not silent because a scorer is slow.
    """

    now: datetime
    station: str
    frames: Sequence[VerdictEvent]
    last_published_at: datetime | None = None
    decided_until: datetime | None = None
    since: datetime | None = None
    is_open: bool = False
    in_control: Sequence[VerdictEvent] = ()
    active_since: datetime | None = None
    stale_after_s: float = 60.0

    def for_rule(self, since: datetime | None, is_open: bool) -> "StationView":
        """The same moment for a rule that has its own past."""
        if since is None:
            return replace(self, is_open=is_open)
        first = bisect_right(self.frames, since, key=lambda frame: frame.captured_at)
        return replace(self, frames=self.frames[first:], since=since, is_open=is_open)


@dataclass(frozen=True, slots=True)
class LineSample:
    """How the scorers stood at one round: frames that wait on the bus, and how many scorers run."""

    at: datetime
    lag: int
    running: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """A place that fills: a disk, or a spool with its limit; sizes in bytes."""

    name: str
    used_bytes: int
    limit_bytes: int

    @property
    def share(self) -> float:
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0


@dataclass(frozen=True, slots=True)
class LineView:
    """The whole line; `points` are the last half hour's rounds, `letters` the last hour's dead letters, oldest first.

    `scorer_expected` is whether any station has an active normal set, so that a scorer is expected.
    """

    now: datetime
    points: Sequence[LineSample] = ()
    letters: Sequence[DeadLetterEvent] = ()
    disk_usages: Sequence[DiskUsage] = ()
    scorer_expected: bool = True
    since: datetime | None = None
    is_open: bool = False

    def for_rule(self, since: datetime | None, is_open: bool) -> "LineView":
        """The same moment for a rule that has its own past."""
        if since is None:
            return replace(self, is_open=is_open)
        letters = [letter for letter in self.letters if letter.occurred_at > since]
        points = [point for point in self.points if point.at > since]
        return replace(self, letters=letters, points=points, since=since, is_open=is_open)
