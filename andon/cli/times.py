"""Times as a person types them on a command line."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime) -> datetime:
    """Return a time in UTC.

    Args:
        text: A duration before `now`, such as ``90s``, ``15m``, ``1h``, ``7d`` or ``2w``, or a date or an RFC 3339
            time; one without a zone is in UTC.
        now: The present time.

    Raises:
        ValueError: The text is neither; the message is one sentence.
    """
    duration = re.fullmatch(r"(\d{1,4})([smhdw])", text)
    if duration:
        return now - timedelta(**{UNITS[duration[2]]: int(duration[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write a duration such as 90s, 15m, 1h or 7d, or a date such as 2026-01-31"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
