"""Times as a person types them on a command line."""

import re
from datetime import UTC, datetime, timedelta

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime) -> datetime:
    """Return a time in UTC.

    Args:
        text: A duration before `now`, such as ``90s``, ``15m``, ``1h``, ``7d`` or ``2w``, or a date or an RFC 3339
            time; one without a zone is in UTC.
        now: The present time.

    Raises:
        ValueError: The text is neither, or the time is before 1970 or after 2200; the message is one sentence.
    """
    try:
        moment = _moment(text, now)
    except OverflowError:
        moment = None
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write a duration such as 90s, 15m, 1h or 7d, or a date such as 2026-01-31"
        ) from None
    if moment is None or not EARLIEST <= moment <= LATEST:
        raise ValueError(f"{text!r} is not a time between {EARLIEST.year} and {LATEST.year}")
    return moment


def _moment(text: str, now: datetime) -> datetime:
    duration = re.fullmatch(r"(\d{1,12})([smhdw])", text, re.ASCII)
    if duration:
        return now - timedelta(**{UNITS[duration[2]]: int(duration[1])})
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
