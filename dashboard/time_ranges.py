"""The time ranges that a person can choose, and the bucket width each is drawn with."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from foundation.clock import floor_to

REFRESHES_PER_BUCKET = 4
MAX_REFRESH_S = 60


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range that ends now.

    `bucket` divides `length` into 160 to 192 points of a trend, and is whole minutes where storage keeps rollups.
    """

    name: str
    length: timedelta
    bucket: timedelta

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the start and the end, on whole buckets counted from 1970 as storage counts them."""
        until = floor_to(now, self.bucket) + self.bucket
        return until - self.length, until

    def refresh_every_s(self, minimum_s: float) -> float:
        """Return the refresh period in seconds: four refreshes per bucket, at least one per minute."""
        return max(minimum_s, min(self.bucket.total_seconds() / REFRESHES_PER_BUCKET, MAX_REFRESH_S))


TIME_RANGES = {
    time_range.name: time_range
    for time_range in (
        TimeRange("15 min", timedelta(minutes=15), timedelta(seconds=5)),
        TimeRange("1 h", timedelta(hours=1), timedelta(seconds=20)),
        TimeRange("8 h", timedelta(hours=8), timedelta(minutes=3)),
        TimeRange("24 h", timedelta(hours=24), timedelta(minutes=8)),
        TimeRange("7 d", timedelta(days=7), timedelta(hours=1)),
        TimeRange("30 d", timedelta(days=30), timedelta(hours=4)),
    )
}
DEFAULT_RANGE = "1 h"
