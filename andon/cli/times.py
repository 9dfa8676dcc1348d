"""Times as a person types them."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime) -> datetime:
    """A moment in UTC: ``90s``, ``15m``, ``1h``, ``7d`` or ``2w`` before `now`, or a date or RFC 3339 time.

    A time that names no zone is UTC. Raises `ValueError` with a sentence.
    """
    back = re.fullmatch(r"(\d{1,4})([smhdw])", text)
    if back:
        return now - timedelta(**{UNITS[back[2]]: int(back[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write a span such as 90s, 15m, 1h or 7d, or a date such as 2026-01-31"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
