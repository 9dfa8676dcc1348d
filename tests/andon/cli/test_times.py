"""Times as a person types them."""

import re
from datetime import UTC, datetime

import pytest

from andon.cli.times import parse_time

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", datetime(2026, 1, 31, 11, 58, 30, tzinfo=UTC)),
        ("86400s", datetime(2026, 1, 30, 12, 0, tzinfo=UTC)),
        ("15m", datetime(2026, 1, 31, 11, 45, tzinfo=UTC)),
        ("1h", datetime(2026, 1, 31, 11, 0, tzinfo=UTC)),
        ("7d", datetime(2026, 1, 24, 12, 0, tzinfo=UTC)),
        ("2w", datetime(2026, 1, 17, 12, 0, tzinfo=UTC)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T09:30", datetime(2026, 1, 30, 9, 30, tzinfo=UTC)),
        ("2026-01-30T09:30:00+02:00", datetime(2026, 1, 30, 7, 30, tzinfo=UTC)),
        ("2026-01-30T09:30:00Z", datetime(2026, 1, 30, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_duration_or_a_date_is_parsed_to_utc(text: str, expected: datetime) -> None:
    assert parse_time(text, NOON) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1y",
        "h",
        "-1h",
        "99999999w",
        "2026-13-01",
        "0001-01-01",
        "9999-12-31T23:59-14:00",
        "3000w",
        "9" * 12 + "w",
    ],
)
def test_an_invalid_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_time(text, NOON)
