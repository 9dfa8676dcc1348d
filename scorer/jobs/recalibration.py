"""Let a station's limits follow its stream and people's labels, and let it ask about the frames that tell the most.

Each change is one transaction, and is computed from rows alone: a process that is killed leaves the limits of before,
and of two workers the second finds the first one's limits and writes nothing. A threshold that was set by hand stays
until somebody changes it (docs/adr/0007, docs/adr/0037).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from foundation.clock import Clock
from scorer.detectors.protocol import Detector
from scorer.jobs.questions import QuestionChooser
from scorer.learning.limits import Limits, learn_limits
from scorer.recipes.calibration import Calibration
from scorer.recipes.loader import RecipeLoader
from storage.database.engine import Database
from storage.line import normal_sets, stations, stream_scores, thresholds, verdicts
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.stream_scores import StreamScore
from storage.line.thresholds import Threshold
from storage.review import review_queue, reviews
from storage.rollups import totals

LOOKBACK = timedelta(days=30)
SHIFT = timedelta(hours=8)
DAY = timedelta(days=1)
LEARN_AGAIN_AFTER = timedelta(hours=1)
LEARN_AGAIN_GROWTH = 1.1
"""Limits are learnt again once a station has this many times its frames of the last time, or an hour later."""

MIN_RELATIVE_CHANGE = 0.01
"""Relative to the current limit; a smaller change is not worth a new threshold."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Stream:
    """What is known of a station when its limits are learnt; `history` are its thresholds, newest first.

    `asked` are the frames that the station asks about so far.
    """

    frames: Sequence[StreamScore]
    history: Sequence[Threshold]
    review_share: float
    asked: Sequence[UUID]


class Recalibration:
    """Recalibrates stations in turn; used from one thread."""

    def __init__(
        self, database: Database, name: str, clock: Clock, recipes: RecipeLoader, questions: QuestionChooser
    ) -> None:
        """Record new thresholds as made by the worker `name`."""
        self._database = database
        self._name = name
        self._clock = clock
        self._recipes = recipes
        self._questions = questions
        self._newest_review: int | None = None  # None until it was looked up
        self._learnt: dict[int, tuple[int, datetime]] = {}  # frames and time of the last run, by station id

    def run(self) -> int:
        """Recalibrate every station whose stream has grown, and return how many have new limits."""
        with self._database.read() as session:
            frames = {station_id: total.frames for station_id, total in totals.by_station(session).items()}
            due = [station for station in stations.list_all(session) if self._is_due(station, frames)]
        changed = 0
        for station in due:
            changed += self._recalibrate_all([station])
            self._learnt[station.id] = (frames.get(station.id, 0), self._clock())  # one that failed stays due
        return changed

    def run_where_labelled(self) -> int:
        """Recalibrate the stations that were labelled since the last run, and return how many have new limits."""
        with self._database.read() as session:
            newest = reviews.newest_id(session)
            if newest == self._newest_review:
                return 0
            since = self._newest_review or 0
            labelled = reviews.stations_labelled_after(session, since)
            all_stations = [station for station in stations.list_all(session) if station.id in labelled]
        changed = self._recalibrate_all(all_stations)
        self._newest_review = newest  # labels of a run that failed are followed again
        return changed

    def _is_due(self, station: Station, frames: Mapping[int, int]) -> bool:
        if station.id not in self._learnt:
            return True
        learnt_frames, learnt_at = self._learnt[station.id]
        is_old = self._clock() - learnt_at > LEARN_AGAIN_AFTER
        return is_old or frames.get(station.id, 0) >= LEARN_AGAIN_GROWTH * learnt_frames + 1

    def _recalibrate_all(self, chosen: Collection[Station]) -> int:
        with self._database.read() as session:
            active_ids = normal_sets.active_ids(session, [station.id for station in chosen])
            active = [
                (station, normal_set)
                for station in chosen
                if station.id in active_ids and (normal_set := normal_sets.active(session, station.id)) is not None
            ]
        return sum(self._recalibrate(station, normal_set) for station, normal_set in active)

    def _recalibrate(self, station: Station, normal_set: NormalSet) -> bool:
        detector = self._recipes.detector(station.settings.framing)
        with self._database.read() as session:
            stream = self._read(session, station, normal_set, detector)
        if not stream.history:  # no scorer has used this set yet
            return False
        current = stream.history[0]
        limits = self._learn(stream, normal_set.activated_at)
        asked = self._questions.choose(stream.frames, detector.target_size) if limits is not None else []
        is_worth_it = limits is not None and _is_worth_it(current, limits)
        if not is_worth_it and asked == stream.asked:
            return False
        with self._database.begin() as session:
            stations.lock(session, station.id)
            review_queue.ask(session, station.id, asked)
            if limits is None or not is_worth_it:
                return False
            key = current.station_id, current.normal_set_id, current.model_id
            if thresholds.current(session, *key) != current:  # somebody was faster: the next run starts from theirs
                return False
            thresholds.record(session, limits.put_into(current, self._clock(), self._name))
        log.info(
            "limits learnt",
            station=station.name,
            kind=limits.kind,
            threshold=limits.threshold,
            threshold_before=current.value,
            review_limit=limits.review_limit,
        )
        return True

    def _read(self, session: Session, station: Station, normal_set: NormalSet, detector: Detector) -> _Stream:
        now = self._clock()
        history = [
            threshold
            for threshold in thresholds.history(session, station.id)
            if (threshold.normal_set_id, threshold.model_id) == (normal_set.id, detector.model_id)
        ]
        return _Stream(
            frames=stream_scores.recent(session, station.id, normal_set.id, detector.model_id, now - LOOKBACK),
            history=history,
            review_share=review_share(session, station, now),
            asked=review_queue.asked(session, station.id),
        )

    def _learn(self, stream: _Stream, activated_at: datetime | None) -> Limits | None:
        """Return the limits that the stream leads to; None while it is too short, or a person set the threshold."""
        current = stream.history[0]
        calibrated = next((one for one in stream.history if _is_baseline(one, current, activated_at)), None)
        if current.kind == "manual" or calibrated is None:
            return None
        return learn_limits(
            stream.frames,
            Calibration(calibrated.value, calibrated.guarantee),
            current.false_reject_rate,
            stream.review_share,
            self._lowest_of_day(stream.history),
        )

    def _lowest_of_day(self, history: Sequence[Threshold]) -> float:
        """Return the lowest threshold that was in force during the last day, of a history newest first."""
        since = self._clock() - DAY
        replaced_at = [None, *(threshold.made_at for threshold in history)]
        in_force = [
            threshold.value
            for threshold, until in zip(history, replaced_at, strict=False)
            if until is None or until > since
        ]
        return min(in_force)


def review_share(session: Session, station: Station, now: datetime) -> float:
    """Return the share of a station's frames that people have time to review, by the frames of the last eight hours."""
    return station.settings.reviews_per_shift / max(1, verdicts.count(session, station.id, since=now - SHIFT))


def _is_baseline(threshold: Threshold, current: Threshold, activated_at: datetime | None) -> bool:
    """Return whether no stream may raise the limits beyond this threshold in silence.

    It is the one that the normals alone allow, or the one with which a set was activated that was tried before: normals
    that were chosen for their low scores say too little of a threshold. Both hold at the rate and for the references of
    today only.
    """
    if (threshold.false_reject_rate, threshold.references_digest) != (
        current.false_reject_rate,
        current.references_digest,
    ):
        return False
    was_tried = activated_at is not None and threshold.made_at <= activated_at and threshold.kind != "manual"
    return threshold.kind == "calibrated" or was_tried


def _is_worth_it(current: Threshold, limits: Limits) -> bool:
    """Return whether limits differ enough from those in force, or say something else of them."""
    if current.review_limit is None or current.kind != limits.kind:
        return True
    changes = limits.threshold - current.value, limits.review_limit - current.review_limit
    return max(map(abs, changes)) > MIN_RELATIVE_CHANGE * current.value
