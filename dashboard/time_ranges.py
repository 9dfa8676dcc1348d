"""The time ranges a person can choose, and how finely each is drawn."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class TimeRange:
    """`bucket` divides `length` into 160 to 192 points of a trend, and is whole minutes where storage keeps tallies."""

    name: str
    length: timedelta
    bucket: timedelta

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """From and until, on whole buckets counted from 1970, as storage counts them."""
        step = self.bucket.total_seconds()
        until = datetime.fromtimestamp((now.timestamp() // step + 1) * step, now.tzinfo)
        return until - self.length, until

    def refresh_every_s(self, at_least: float) -> float:
        """A long range changes slowly, and looks less often: four times a bucket, but every minute."""
        return max(at_least, min(self.bucket.total_seconds() / 4, 60))


TIME_RANGES = {
    span.name: span
    for span in (
        TimeRange("15 min", timedelta(minutes=15), timedelta(seconds=5)),
        TimeRange("1 h", timedelta(hours=1), timedelta(seconds=20)),
        TimeRange("8 h", timedelta(hours=8), timedelta(minutes=3)),
        TimeRange("24 h", timedelta(hours=24), timedelta(minutes=8)),
        TimeRange("7 d", timedelta(days=7), timedelta(hours=1)),
        TimeRange("30 d", timedelta(days=30), timedelta(hours=4)),
    )
}
DEFAULT = "1 h"
