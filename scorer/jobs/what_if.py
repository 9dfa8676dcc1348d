"""The what-if job: score recent frames against a draft normal set, and compare the decisions."""

from uuid import UUID

from imaging.quality.picture_problem import PictureProblem
from scorer.jobs.job_progress import ReportProgress, chunks_with_progress
from scorer.jobs.rescoring import Rescorer
from scorer.recipes.loader import RecipeLoader
from storage.database.engine import Database
from storage.line import normal_sets, stations, what_if
from storage.line.jobs import Job


def run_what_if(
    job: Job, database: Database, recipes: RecipeLoader, rescorer: Rescorer, report: ReportProgress
) -> dict[str, object]:
    """Return the `WhatIfResult` of a job as JSON.

    Raises:
        NotFound: The station or its draft is gone.
        InvalidNormalSet: The draft allows no references or no threshold.
        JobCancelled: The job was cancelled meanwhile.
    """
    request = what_if.WhatIfRequest.from_json(job.payload)
    with database.read() as session:
        station = stations.by_id(session, job.station_id)
        normal_set = normal_sets.get(session, job.station_id, request.version)
        frames = what_if.frames_to_rescore(session, job.station_id, request.last)
    images = [image.reference for image in normal_set.images]
    own = [frame for frame in frames if frame.image_reference in images]
    frames = [frame for frame in frames if frame.image_reference not in images]
    report(0, len(frames))
    recipe = recipes.recipe(station, normal_set)
    scores: dict[UUID, float] = {}
    bad_pictures = 0
    for chunk in chunks_with_progress(frames, report, 0, len(frames)):
        found = rescorer.scores([frame.image_reference for frame in chunk], recipe)
        scores |= {frame.frame_id: score for frame, score in zip(chunk, found, strict=True) if isinstance(score, float)}
        bad_pictures += sum(isinstance(score, PictureProblem) for score in found)
    result = what_if.compare(
        request,
        recipe.model_id,
        recipe.threshold.value,
        recipe.threshold.guarantee,
        frames,
        scores,
        dict(zip(images, recipe.references.normal_scores, strict=True)),
        bad_pictures,
        len(own),
    )
    return result.to_json()
