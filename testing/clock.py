"""A clock that a test sets."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """A clock in UTC that moves only when a test advances it or sets `now`."""

    def __init__(self, now: datetime = datetime(2026, 3, 1, tzinfo=UTC)) -> None:
        """Start at `now`."""
        self.now = now

    def __call__(self) -> datetime:
        """Return the time that was set."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += timedelta(seconds=seconds)
