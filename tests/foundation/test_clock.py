"""Times as integers and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from foundation.clock import EPOCH, ceil_to, floor_to, from_epoch_us, to_epoch_us, utc_now


@pytest.mark.parametrize("microseconds", [0, 1, -1, 1_700_000_000_123_457, -62_135_596_800_000_000])
def test_a_time_survives_conversion_to_an_integer_and_back(microseconds: int) -> None:
    assert to_epoch_us(from_epoch_us(microseconds)) == microseconds


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)

    assert to_epoch_us(noon.astimezone(timezone(timedelta(hours=5)))) == to_epoch_us(noon)
    assert from_epoch_us(to_epoch_us(noon)).tzinfo is UTC


def test_the_current_time_is_aware_and_after_the_epoch() -> None:
    assert utc_now() > EPOCH


@pytest.mark.parametrize(
    ("at", "floor", "ceiling"),
    [
        (datetime(2026, 3, 4, 12, 7, 30, tzinfo=UTC), 5, 10),
        (datetime(2026, 3, 4, 12, 5, tzinfo=UTC), 5, 5),
        (datetime(1969, 12, 31, 23, 58, tzinfo=UTC), 55, 60),
    ],
)
def test_time_buckets_are_multiples_of_their_width_since_1970(at: datetime, floor: int, ceiling: int) -> None:
    width = timedelta(minutes=5)
    hour = at.replace(minute=0, second=0)

    assert floor_to(at, width) == hour + timedelta(minutes=floor)
    assert ceil_to(at, width) == hour + timedelta(minutes=ceiling)
    assert floor_to(at.astimezone(timezone(timedelta(hours=5))), width).tzinfo is UTC
