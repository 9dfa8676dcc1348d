"""The golden-frame job: score a station's golden frame again, to see that the model still gives the same score."""

from foundation.clock import Clock
from imaging.quality.picture_problem import PictureProblem
from scorer.jobs.rescoring import Rescorer
from scorer.recipes.loader import RecipeLoader
from storage.database.engine import Database
from storage.errors import NotFound
from storage.line import golden_frames, normal_sets, stations
from storage.line.jobs import Job


def run_golden(
    job: Job, database: Database, recipes: RecipeLoader, rescorer: Rescorer, worker: str, clock: Clock
) -> dict[str, object]:
    """Record the golden frame's score, and return it and the expected one.

    Raises:
        NotFound: The station has no golden frame, its image is gone or a bad picture, or another model scored it.
        InvalidNormalSet: Its normal set can't be used any more.
    """
    with database.read() as session:
        station = stations.by_id(session, job.station_id)
        frame = golden_frames.find(session, job.station_id)
        sets = normal_sets.list_all(session, job.station_id)
    if frame is None:
        raise NotFound("This station has no golden frame any more.")
    normal_set = next(each for each in sets if each.id == frame.normal_set_id)
    recipe = recipes.recipe_of_model(station, normal_set, frame.model_id)
    if recipe is None:
        raise NotFound(
            f"The golden frame was scored by a model ({frame.model_id[:12]}…) that this scorer does not have: choose a "
            "golden frame again."
        )
    (score,) = rescorer.scores([frame.image_reference], recipe)
    if isinstance(score, PictureProblem):
        raise NotFound(f"The golden frame is a bad picture ({score}) beside the normals: choose another one.")
    if score is None:
        raise NotFound("The golden frame's image is gone from the image store: choose another one.")
    with database.begin() as session:
        golden_frames.record_score(session, job.station_id, score, worker, clock())
    return {"score": score, "expected_score": frame.expected_score}
