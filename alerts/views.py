"""The views that rules evaluate: a station or the whole line at one moment, as immutable rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from storage.alerts.rule_inputs import DeadLetterEvent, DropEvent, VerdictEvent
from storage.line.decision import SCORED

MAX_FRAMES = 500  # newest frames of a station that rules can read
MAX_IN_CONTROL_FRAMES = 500  # the most frames that control limits are computed from
ALERT_HORIZON = timedelta(hours=1)  # a condition that ended longer ago opens no alert
LAG_HISTORY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class StationView:
    """One station at one moment. All times are in UTC.

    Attributes:
        now: The time of the round.
        station: The station's name.
        frames: Its newest frames in order of arrival, oldest first, none from before `since`.
        last_arrived_at: When its newest frame arrived.
        decided_until: Every frame that arrived before this time has been decided, as far as is known; None
            where it is unknown. A camera is not silent because a scorer is slow.
        since: When this rule's last alert was resolved here, or a mute ended; earlier frames have been dealt with.
        is_open: Whether this rule's alert is open here.
        in_control: The first frames that passed since the normal set was activated, by the model in use.
        active_since: When the active normal set was activated; None without one.
        stale_after_s: Seconds without a frame after which the camera counts as silent.
    """

    now: datetime
    station: str
    frames: Sequence[VerdictEvent]
    last_arrived_at: datetime | None = None
    decided_until: datetime | None = None
    since: datetime | None = None
    is_open: bool = False
    in_control: Sequence[VerdictEvent] = ()
    active_since: datetime | None = None
    stale_after_s: float = 60.0

    @property
    def scored_frames(self) -> Sequence[VerdictEvent]:
        """The frames that passed or were flagged: only they say something of the parts."""
        return [frame for frame in self.frames if frame.decision in SCORED]

    def for_rule(self, since: datetime | None, is_open: bool) -> "StationView":
        """Return the view for one rule, without the frames that arrived up to `since`."""
        if since is None:
            return replace(self, is_open=is_open)
        frames = [frame for frame in self.frames if frame.arrived_at > since]
        return replace(self, frames=frames, since=since, is_open=is_open)


@dataclass(frozen=True, slots=True)
class LineSample:
    """The scorers at one round.

    Attributes:
        at: The time of the round, in UTC.
        lag: Frames that wait on the bus.
        running: Scorers that are running.
        message: What a scorer reports, such as why it waits.
    """

    at: datetime
    lag: int
    running: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The usage of a disk, or of a spool up to its limit, in bytes."""

    name: str
    used_bytes: int
    limit_bytes: int

    @property
    def share(self) -> float:
        """The used share, 0 to 1; 0 without a limit."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0


@dataclass(frozen=True, slots=True)
class LineView:
    """The whole line at one moment. All times are in UTC.

    Attributes:
        now: The time of the round.
        samples: The scorers at each round of the last `LAG_HISTORY`, oldest first.
        dead_letters: The dead letters of the last `ALERT_HORIZON`, oldest first.
        deleted_unread: Frames that were deleted from the bus unread within the last `ALERT_HORIZON`.
        disk_usages: The disks and spools of the monitor's machine.
        scorer_expected: Whether any station has an active normal set, so that a scorer should be running.
        since: When this rule's last alert was resolved; what happened before has been dealt with.
        is_open: Whether this rule's alert is open.
    """

    now: datetime
    samples: Sequence[LineSample] = ()
    dead_letters: Sequence[DeadLetterEvent] = ()
    deleted_unread: Sequence[DropEvent] = ()
    disk_usages: Sequence[DiskUsage] = ()
    scorer_expected: bool = True
    since: datetime | None = None
    is_open: bool = False

    def for_rule(self, since: datetime | None, is_open: bool) -> "LineView":
        """Return the view for one rule, without what happened up to `since`."""
        if since is None:
            return replace(self, is_open=is_open)
        dead_letters = [letter for letter in self.dead_letters if letter.occurred_at > since]
        samples = [sample for sample in self.samples if sample.at > since]
        deleted = [each for each in self.deleted_unread if each.last_at > since]
        return replace(
            self, dead_letters=dead_letters, samples=samples, deleted_unread=deleted, since=since, is_open=is_open
        )
