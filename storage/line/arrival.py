"""When a frame arrived: the order and the silence of a camera follow from it, not from the camera's own clock."""

from datetime import datetime, timedelta

MAX_SCORING_DELAY = timedelta(minutes=30)
"""How long before its decision a frame's publishing is believed; an earlier time may come from a wrong time zone."""


def arrival(published_at: datetime, decided_at: datetime) -> datetime:
    """Return when a frame arrived: when it was published, or decided where the publisher's clock can't be believed.

    A publisher whose clock is ahead seems to publish after the decision. One whose clock is behind can't be told from a
    long wait on the bus, so that a time of publishing is believed for half an hour: time zones differ by at least that.
    """
    return published_at if decided_at - MAX_SCORING_DELAY <= published_at <= decided_at else decided_at
