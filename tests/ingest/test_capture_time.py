"""A time of capture that its arrival contradicts is kept beside the time of arrival."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.capture_time import check_capture_time
from ingest.frame import PublishedFrame

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def checked(
    captured: timedelta, published: timedelta = -SECOND, appended: timedelta = -SECOND, received_at: datetime = NOON
) -> PublishedFrame:
    """Return a frame with these times, relative to its receipt, as it is used after the check."""
    frame = PublishedFrame(UUID(int=1), "s1", received_at + captured, received_at + published, "image/png", image=b"i")
    return check_capture_time(frame, received_at + appended, received_at)


@pytest.mark.parametrize(
    ("captured", "published", "appended"),
    [
        (-2 * SECOND, -SECOND, -SECOND),
        (59 * SECOND, -SECOND, -SECOND),  # clocks that are nearly right
        (-23 * HOUR, -SECOND, -SECOND),  # a folder whose source was stopped overnight
        (-9 * DAY, -9 * DAY, -SECOND),  # nine days in the spool
        (-400 * DAY, -400 * DAY, -SECOND),  # a forgotten spool
        (-9 * DAY, -9 * DAY, -9 * DAY),  # nine days on the bus
    ],
)
def test_a_time_that_can_be_true_stays(captured: timedelta, published: timedelta, appended: timedelta) -> None:
    frame = checked(captured, published, appended)
    assert (frame.captured_at, frame.stamped_at) == (NOON + captured, None)


@pytest.mark.parametrize(
    ("captured", "published", "appended", "arrived"),
    [
        (3 * HOUR, -SECOND, -SECOND, -SECOND),  # the camera is ahead
        (3 * HOUR, 3 * HOUR, 3 * HOUR, 0 * SECOND),  # the computer of the camera is ahead
        (3 * HOUR, 3 * HOUR, -SECOND, 0 * SECOND),  # and the bus has a clock of its own
        (-2 * HOUR, -5 * HOUR, -5 * HOUR, -5 * HOUR),  # the camera is ahead, and the frame waited for five hours
        (-2 * DAY, -SECOND, -SECOND, -SECOND),  # the camera is behind
        (-9000 * DAY, -9000 * DAY, -9000 * DAY, 0 * SECOND),  # the computer's clock began again in 2001
        (NOON.replace(year=1970) - NOON, -SECOND, -SECOND, -SECOND),  # a camera without a clock
        (400 * DAY, -SECOND, -SECOND, -SECOND),
    ],
)
def test_a_time_that_can_not_be_true_gives_way_to_the_time_of_arrival(
    captured: timedelta, published: timedelta, appended: timedelta, arrived: timedelta
) -> None:
    frame = checked(captured, published, appended)
    assert (frame.captured_at, frame.stamped_at) == (NOON + arrived, NOON + captured)


offsets = st.timedeltas(min_value=timedelta(days=-20_000), max_value=timedelta(days=2_000_000))


@given(captured=offsets, published=offsets, appended=offsets)
def test_no_frame_is_captured_in_the_future_and_no_stamp_is_lost(
    captured: timedelta, published: timedelta, appended: timedelta
) -> None:
    frame = checked(captured, published, appended)
    assert frame.captured_at <= NOON + timedelta(minutes=1)
    assert (frame.stamped_at or frame.captured_at) == NOON + captured
