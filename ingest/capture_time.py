"""Compare a frame's time of capture with its arrival: a camera's clock may be wrong, and nobody sees it there."""

from dataclasses import replace
from datetime import datetime, timedelta

from ingest.frame import PublishedFrame

MAX_AHEAD = timedelta(minutes=1)
"""How far a time may lie ahead of arrival: clocks that are synchronised differ by less."""

MAX_BEHIND = timedelta(days=1)
"""How long before it was published a frame may have been captured: a source may have been stopped overnight."""

MAX_ON_BUS = timedelta(days=30)
"""How long a message may wait on the bus; one that seems to have waited longer has the time of a wrong clock."""


def check_capture_time(frame: PublishedFrame, appended_at: datetime, received_at: datetime) -> PublishedFrame:
    """Return the frame, captured when it arrived if the time that it is stamped with can't be true.

    That time is then in `stamped_at`. A frame arrived when it was published, however long it waited in a spool after
    that, or when it was received where the publisher's own clock is wrong.

    Args:
        frame: The frame as its source stamped it.
        appended_at: When the message was sent to the bus, by the publisher's clock or the bus's.
        received_at: When the scorer received it, by the scorer's clock, which the others are compared with.
    """
    latest = received_at + MAX_AHEAD
    was_sent_lately = received_at - MAX_ON_BUS <= appended_at <= latest
    is_publisher_right = was_sent_lately and frame.published_at <= latest
    arrived_at = min(frame.published_at, received_at) if is_publisher_right else received_at
    if -MAX_BEHIND <= frame.captured_at - arrived_at <= MAX_AHEAD:
        return frame
    return replace(frame, captured_at=arrived_at, stamped_at=frame.captured_at)
