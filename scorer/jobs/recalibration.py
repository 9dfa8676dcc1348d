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
from scorer.errors import InvalidNormalSet
from scorer.jobs.defect_learning import DefectLearning
from scorer.jobs.questions import QuestionChooser
from scorer.jobs.stream import LOOKBACK, review_share
from scorer.learning.limit_history import is_comparable, limits_from_history, limits_with_head
from scorer.learning.limits import Limits, has_questions
from scorer.recipes.loader import RecipeLoader
from storage.database.engine import Database
from storage.learning import defect_sets, stream_scores
from storage.learning.stream_scores import StreamScore
from storage.line import normal_sets, stations, thresholds
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.review import review_queue, reviews
from storage.rollups import totals

LEARN_AGAIN_AFTER = timedelta(hours=1)
LEARN_AGAIN_GROWTH = 1.1
"""Limits are learnt again once a station has this many times its frames of the last time, or an hour later."""

MIN_RELATIVE_CHANGE = 0.01
"""Relative to the current limit; a smaller change is not worth a new threshold."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Stream:
    """What is known of a station when its limits are learnt; `history` are its thresholds, newest first.

    `asked` are the frames that the station asks about so far; with `has_head` the scores are those of a defect set.
    """

    frames: Sequence[StreamScore]
    history: Sequence[Threshold]
    review_share: float
    asked: Sequence[UUID]
    has_head: bool


class Recalibration:
    """Recalibrates stations in turn; used from one thread."""

    def __init__(
        self,
        database: Database,
        name: str,
        clock: Clock,
        recipes: RecipeLoader,
        questions: QuestionChooser,
        defects: DefectLearning,
    ) -> None:
        """Record new thresholds as made by the worker `name`."""
        self._database = database
        self._name = name
        self._clock = clock
        self._recipes = recipes
        self._questions = questions
        self._defects = defects
        self._newest_review: int | None = None  # None until it was looked up
        self._learnt: dict[int, tuple[int, datetime, int]] = {}  # frames, time and set of the last run, by station id

    def run(self) -> int:
        """Recalibrate every station whose stream has grown, and return how many have new limits."""
        with self._database.read() as session:
            frames = {station_id: total.frames for station_id, total in totals.by_station(session).items()}
            active_ids = normal_sets.active_ids(session)
            due = [
                station
                for station in stations.list_all(session)
                if station.id in active_ids and self._is_due(station, frames, active_ids[station.id])
            ]
        changed = 0
        for station in due:
            changed += self._recalibrate_all([station])
            of_station = frames.get(station.id, 0), self._clock(), active_ids[station.id]
            self._learnt[station.id] = of_station  # one that failed stays due
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

    def _is_due(self, station: Station, frames: Mapping[int, int], active_id: int) -> bool:
        learnt_frames, learnt_at, learnt_id = self._learnt.get(station.id, (0, self._clock(), None))
        if learnt_id != active_id:
            return True
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
        return sum(self._follow(station, normal_set) for station, normal_set in active)

    def _follow(self, station: Station, normal_set: NormalSet) -> bool:
        """Learn the limits at once, then, within seconds, what defects look like, and ask by the scores of that."""
        has_changed = self._recalibrate(station, normal_set)
        try:
            has_learnt = self._defects.run(station, normal_set)
        except InvalidNormalSet as error:  # each frame of the station is rejected with it; others go on learning
            log.warning("defects can't be learnt", station=station.name, error=str(error))
            return has_changed
        if not has_learnt:
            return has_changed
        self._recalibrate(station, normal_set)
        return True

    def _recalibrate(self, station: Station, normal_set: NormalSet) -> bool:
        detector = self._recipes.detector(station.settings.framing)
        with self._database.read() as session:
            stream = self._read(session, station, normal_set, detector.model_id)
        if not stream.history:  # no scorer has used this set yet
            return False
        current = stream.history[0]
        limits = self._learn(stream, normal_set.activated_at)
        asks = limits is not None or (current.kind != "manual" and has_questions(stream.frames))
        asked = self._questions.choose(stream.frames, detector.target_size) if asks else []
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

    def _learn(self, stream: _Stream, activated_at: datetime | None) -> Limits | None:
        if stream.has_head:
            return limits_with_head(stream.frames, stream.history, stream.review_share, self._clock())
        return limits_from_history(stream.frames, stream.history, stream.review_share, activated_at, self._clock())

    def _read(self, session: Session, station: Station, normal_set: NormalSet, model_id: str) -> _Stream:
        """Read the stream by the model that scores now: that of the defect set in use, or the detector alone."""
        now = self._clock()
        history = thresholds.history_of(session, station.id, normal_set.id, model_id)
        head = defect_sets.in_use(session, [normal_set.id]).get((normal_set.id, model_id))
        has_head = False
        if head is not None and station.settings.learn_defects:
            of_head = thresholds.history_of(session, station.id, normal_set.id, head.scoring_model_id)
            if of_head and history and is_comparable(of_head[0], history[0]):
                history, model_id, has_head = of_head, head.scoring_model_id, True
        return _Stream(
            frames=stream_scores.recent(session, station.id, normal_set.id, model_id, now - LOOKBACK),
            history=history,
            review_share=review_share(session, station, now),
            asked=review_queue.asked(session, station.id),
            has_head=has_head,
        )


def _is_worth_it(current: Threshold, limits: Limits) -> bool:
    """Return whether limits differ enough from those in force, or say something else of them."""
    if current.review_limit is None or current.kind != limits.kind:
        return True
    changes = limits.threshold - current.value, limits.review_limit - current.review_limit
    return max(map(abs, changes)) > MIN_RELATIVE_CHANGE * current.value
