"""What every job takes for a station's stream: how far back it reaches, and which half of it may become normals."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage.learning.stream_scores import StreamScore
from storage.line import verdicts
from storage.line.stations import Station
from storage.review.random_sample import is_sampled

LOOKBACK = timedelta(days=30)
SHIFT = timedelta(hours=8)


def review_share(session: Session, station: Station, now: datetime) -> float:
    """Return the share of a station's frames that people have time to review, by the frames of the last eight hours."""
    return station.settings.reviews_per_shift / max(1, verdicts.count(session, station.id, since=now - SHIFT))


def may_join(frame: StreamScore) -> bool:
    """Return whether a frame belongs to the half of the stream that may join the normals; the other half calibrates."""
    return is_sampled(frame.frame_id, 2)
