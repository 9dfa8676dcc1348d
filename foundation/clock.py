"""The clock: reading the time, and converting times to integers and back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the present time, aware and in UTC; code takes one as an argument, so that tests can set the time."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the present time of the system's clock, aware and in UTC."""
    return datetime.now(UTC)


def to_epoch_us(at: datetime) -> int:
    """Return whole microseconds from 1970-01-01 UTC to `at`, an aware time; exact, also before 1970."""
    return (at - EPOCH) // MICROSECOND


def from_epoch_us(microseconds: int) -> datetime:
    """Return the time in UTC that lies `microseconds` after 1970-01-01.

    Raises:
        OverflowError: The time lies outside the years 1 to 9999.
    """
    return EPOCH + microseconds * MICROSECOND


def floor_to(at: datetime, width: timedelta) -> datetime:
    """Return the start, in UTC, of the time bucket that contains `at`; buckets are multiples of `width` since 1970."""
    return EPOCH + (at - EPOCH) // width * width


def ceil_to(at: datetime, width: timedelta) -> datetime:
    """Return `at` in UTC where a time bucket of `width` starts there, else the start of the next bucket."""
    return EPOCH - (EPOCH - at) // width * width
