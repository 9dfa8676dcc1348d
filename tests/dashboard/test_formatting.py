from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboard import formatting

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=-4), "just now"),
        (timedelta(milliseconds=900), "just now"),
        (timedelta(seconds=3.9), "3 s ago"),
        (timedelta(seconds=119), "1 min ago"),
        (timedelta(hours=5, minutes=59), "5 h ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=9, hours=23), "9 d ago"),
    ],
)
def test_an_age_has_one_unit_and_is_rounded_down(passed: timedelta, text: str) -> None:
    assert formatting.ago(NOON - passed, NOON) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "–"), (0, 9, "0 %"), (1, 4000, "< 0.1 %"), (21, 1000, "2.1 %"), (1, 3, "33 %"), (5, 5, "100 %")],
)
def test_a_share_of_nothing_is_a_dash_and_a_small_one_is_not_zero(part: int, whole: int, text: str) -> None:
    assert formatting.share(part, whole) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0, "0 %"), (0.0004, "0.1 %"), (0.034, "3.4 %"), (0.1249, "12 %"), (1.5, "150 %")]
)
def test_a_fraction_has_a_decimal_where_it_matters(fraction: float, text: str) -> None:
    assert formatting.fraction(fraction) == text


def test_numbers_and_sizes_read_as_a_person_writes_them() -> None:
    assert formatting.count(1204) == "1,204"
    assert formatting.count(12_340_000) == "12.3 M"
    assert [formatting.plural(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [formatting.size(n) for n in (0, 999, 1234, 20_000_000)] == ["0 B", "999 B", "1.2 kB", "20.0 MB"]
    assert [formatting.latency(s) for s in (0.34, 4.21, 190)] == ["340 ms", "4.2 s", "3 min"]
    assert [formatting.score(n) for n in (None, 0.0, 0.5, 0.41049, 0.0124, 0.00815)] == [
        "–", "0.000", "0.500", "0.410", "0.0124", "0.00815"
    ]  # fmt: skip


def test_times_are_in_the_readers_zone_and_name_the_day_only_when_it_is_not_today() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert formatting.timestamp(NOON.replace(microsecond=417_900), berlin) == "24 Nov 2026, 13:00:00.417"
    assert formatting.date_and_time(NOON, berlin) == "24 Nov 2026, 13:00:00"
    assert formatting.clock(NOON, NOON, berlin) == "13:00:00"
    assert formatting.clock(datetime(2026, 11, 23, 23, 30, tzinfo=UTC), NOON, berlin) == "00:30:00"
    assert formatting.clock(datetime(2026, 11, 23, 22, 30, tzinfo=UTC), NOON, berlin) == "23 Nov 23:30"


def test_a_message_makes_no_links_and_keeps_its_commands() -> None:
    evil = "The channel [win](http://evil.example) is <b>taken</b>: `andon alerts list [x]` shows them."
    assert formatting.escape_message(evil) == (
        r"The channel \[win\](http://evil.example) is \<b\>taken\</b\>: `andon alerts list [x]` shows them."
    )
    assert "`" not in formatting.escape_message("one ` of [two]").replace("\\`", "")
