"""The autopilot: it requests a proposal of normals for each station whose stream has enough new frames."""

from collections.abc import Mapping
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from foundation.clock import Clock
from scorer.jobs.normal_proposals import drifts
from scorer.jobs.stream import LOOKBACK
from scorer.learning.limits import MIN_STREAM_FRAMES
from storage.auth.actors import AUTOPILOT
from storage.database.engine import Database
from storage.learning import stream_scores
from storage.line import jobs, normal_sets, stations
from storage.line.normal_sets import MAX_IMAGES, NormalSet
from storage.line.stations import Station

STREAM_FRAMES = 5 * MIN_STREAM_FRAMES // 2
"""Frames by the active set from which a proposal is made: about half of them calibrate, and must be enough."""

AGAIN_AFTER = timedelta(days=1)
"""A station is looked at again no sooner than this after a proposal, whatever became of it."""

log = structlog.get_logger()


class Autopilot:
    """Requests proposals; used from one thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Look at stations in this database."""
        self._database = database
        self._clock = clock

    def run(self) -> int:
        """Request a proposal for each station that is due, and return for how many."""
        with self._database.read() as session:
            active_ids = normal_sets.active_ids(session)
            due = [station for station in stations.list_all(session) if self._is_due(session, station, active_ids)]
        for station in due:
            with self._database.begin() as session:
                stations.lock(session, station.id)  # of two workers the second finds the first one's job
                if self._is_due(session, station, active_ids):
                    jobs.enqueue(session, "propose_normals", station.id, {}, AUTOPILOT.name, self._clock())
                    log.info("normals are to be proposed", station=station.name)
        return len(due)

    def _is_due(self, session: Session, station: Station, active_ids: Mapping[int, int]) -> bool:
        if station.settings.autopilot == "off" or station.id not in active_ids:
            return False
        newest = jobs.recent(session, station.id, kind="propose_normals", limit=1)
        if newest and newest[0].requested_at > self._clock() - AGAIN_AFTER:
            return False
        active = normal_sets.active(session, station.id)
        if active is None or len(active.images) >= MAX_IMAGES or drifts(session, station.id):
            return False
        return self._has_stream(session, station, active)

    def _has_stream(self, session: Session, station: Station, active: NormalSet) -> bool:
        newest = stream_scores.newest(session, station.id, self._clock() - LOOKBACK, STREAM_FRAMES)
        return sum(frame.normal_set_id == active.id for frame in newest) >= STREAM_FRAMES
