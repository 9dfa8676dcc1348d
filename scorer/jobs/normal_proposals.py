"""The job that proposes a normal set: the active one, and frames that show what else good parts look like.

1. Half of the stream, chosen by frame id, may join: low scores, as different as possible, none near a known defect.
2. They become a draft beside the images of the active set, and a what-if is requested for it.
3. The other half is scored with the draft, and the draft's limits are learnt from those scores.
4. Where the station's autopilot acts, and no guard rail objects, the draft is activated.

A job that is repeated after a crash finds its draft by the note, and makes no second one.
"""

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from foundation.clock import Clock
from scorer.errors import InvalidNormalSet
from scorer.jobs.draft_trial import DraftTrial, Trial
from scorer.jobs.job_progress import ReportProgress, chunks_with_progress
from scorer.jobs.rescoring import Rescorer
from scorer.jobs.stream import LOOKBACK, may_join
from scorer.learning.activation_guard import TrialFrame, reasons_against
from scorer.learning.limits import MIN_STREAM_FRAMES
from scorer.learning.normal_growth import propose_normals
from scorer.recipes.loader import RecipeLoader
from scorer.recipes.recipe import Recipe
from storage.actions import normal_sets as normal_set_actions
from storage.alerts import alerts
from storage.auth.actors import AUTOPILOT, Actor, Role
from storage.database.engine import Database
from storage.learning import stream_scores
from storage.learning.stream_scores import StreamScore
from storage.line import jobs, normal_sets, stations
from storage.line.jobs import Job
from storage.line.normal_sets import MAX_IMAGES, NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.what_if import WhatIfRequest

MAX_FRAMES = 400
"""Newest frames that are looked at; more would only take longer."""

DRIFT_RULES = ("score_drift", "western_electric")


class NormalProposals:
    """Runs the jobs of one scoring process; used from one thread."""

    def __init__(
        self, database: Database, recipes: RecipeLoader, rescorer: Rescorer, trial: DraftTrial, clock: Clock
    ) -> None:
        """Propose normals from this database's streams; drafts are tried by `trial`."""
        self._database = database
        self._recipes = recipes
        self._rescorer = rescorer
        self._trial = trial
        self._clock = clock

    def run(self, job: Job, report: ReportProgress) -> dict[str, object]:
        """Return the draft's version, how many images it adds, and whether it was activated, or why not.

        Raises:
            InvalidNormalSet: The station has no active normal set, too short a stream, or nothing to add.
            PermissionDenied: The person who requested the job may not add normal sets any more.
            JobCancelled: The job was cancelled meanwhile.
        """
        with self._database.read() as session:
            station = stations.by_id(session, job.station_id)
            active = normal_sets.active(session, station.id)
        if active is None:
            raise InvalidNormalSet(f"Station {station.name} has no active normal set: activate one first.")
        recipe = self._recipes.recipe(station, active)
        with self._database.read() as session:
            key = station.id, active.id, recipe.model_id
            stream = stream_scores.recent(session, *key, self._clock() - LOOKBACK, MAX_FRAMES)
            made = [one for one in normal_sets.list_all(session, station.id) if one.note == _note(job)]
        report(0, len(stream))
        draft = made[0] if made else self._draft(job, station, active, recipe, stream, report)  # 1, 2
        trial = self._trial.run(station, draft, active, stream, report)  # 3
        added = len(normal_sets.diff(active, draft).added)
        result: dict[str, object] = {"version": draft.version, "added": added, "frames": len(stream)}
        if job.requested_by != AUTOPILOT.name or station.settings.autopilot != "act":
            return result | {"activated": False, "reasons": []}
        reasons = self._activate(station, active, draft, recipe, stream, trial)  # 4
        return result | {"activated": not reasons, "reasons": reasons}

    def _draft(
        self,
        job: Job,
        station: Station,
        active: NormalSet,
        recipe: Recipe,
        stream: Sequence[StreamScore],
        report: ReportProgress,
    ) -> NormalSet:
        """Create the draft and request its what-if, in one transaction."""
        calibrating = sum(not may_join(frame) for frame in stream)
        if calibrating < MIN_STREAM_FRAMES:
            raise InvalidNormalSet(
                f"The stream has {len(stream)} frames by the active normal set, half of which would calibrate its "
                f"successor: {calibrating}, and {MIN_STREAM_FRAMES} are needed."
            )
        images = self._propose(active, recipe, stream, report)
        if not images:
            raise InvalidNormalSet(f"The stream shows no good part to add, or the set has {MAX_IMAGES} images already.")
        at = self._clock()
        with self._database.begin() as session:
            draft = normal_set_actions.draft(
                session, _actor(job), station.name, images, _note(job), at, base=active.version
            )
            request = WhatIfRequest(draft.version).to_json()
            jobs.enqueue(session, "what_if", station.id, request, job.requested_by, at)
        return draft

    def _propose(
        self, active: NormalSet, recipe: Recipe, stream: Sequence[StreamScore], report: ReportProgress
    ) -> list[NormalImage]:
        """Return the images that may join: of one half of the stream, compared with the known defects of both."""
        known = {image.reference for image in active.images}
        candidates = [
            frame
            for frame in {frame.image_reference: frame for frame in stream}.values()
            if frame.label == "defect" or (may_join(frame) and frame.image_reference not in known)
        ]
        described: list[tuple[StreamScore, np.ndarray]] = []
        for chunk in chunks_with_progress(candidates, report, 0, len(candidates) + len(stream)):
            found = self._rescorer.descriptors([frame.image_reference for frame in chunk], recipe)
            described += [(frame, vector) for frame, vector in zip(chunk, found, strict=True) if vector is not None]
        if not described:
            return []
        frames = [frame for frame, _ in described]
        proposed = propose_normals(
            [frame.score for frame in frames],
            np.stack([vector for _, vector in described]),
            [frame.label == "defect" for frame in frames],
            MAX_IMAGES - len(active.images),
        )
        return [NormalImage(frames[index].image_reference, _name(frames[index])) for index in proposed]

    def _activate(
        self,
        station: Station,
        active: NormalSet,
        draft: NormalSet,
        recipe: Recipe,
        stream: Sequence[StreamScore],
        trial: Trial,
    ) -> list[str]:
        """Activate the draft unless a guard rail objects; return the reasons against it."""
        now = {frame.frame_id: frame for frame in stream}
        frames = [TrialFrame(now[each.frame_id].score, each.score, each.label) for each in trial.frames]
        proposed = None if trial.limits is None else trial.limits.threshold
        with self._database.begin() as session:
            reasons = reasons_against(frames, recipe.threshold.value, proposed, drifts(session, station.id))
            now_active = normal_sets.active(session, station.id)
            if now_active is None or now_active.id != active.id:
                reasons.append("Somebody activated another normal set meanwhile.")
            if not reasons:
                reason = f"autopilot: {len(draft.images)} images, checked on {len(frames)} other frames of the stream"
                normal_set_actions.activate(session, AUTOPILOT, station.name, draft.version, self._clock(), reason)
        return reasons


def drifts(session: Session, station_id: int) -> bool:
    """Return whether an alert says that a station's scores drift: its normals then freeze instead of following."""
    return any(alert.rule in DRIFT_RULES for alert in alerts.unresolved(session, station_id))


def _actor(job: Job) -> Actor:
    """Return who requested the job; where users exist, their present role is looked up when they act."""
    return AUTOPILOT if job.requested_by == AUTOPILOT.name else Actor(job.requested_by, Role.ENGINEER)


def _note(job: Job) -> str:
    return f"proposed from the stream (job {job.id})"


def _name(frame: StreamScore) -> str:
    return f"frame {frame.frame_id} of {frame.captured_at:%Y-%m-%d %H:%M:%S}"
