"""Score stored images again, in small chunks while the line runs."""

from collections.abc import Sequence

import structlog

from imaging.decode import decode
from imaging.errors import BadImage
from imaging.quality.picture_problem import PictureProblem
from imaging.quality.picture_quality import find_problem, measure
from scorer.detectors.capabilities.descriptors import Descriptor, describe
from scorer.images import RetriableImageStore
from scorer.imaging.framing import Framed
from scorer.recipes.recipe import Recipe
from scorer.settings import ScorerSettings
from storage.errors import NotFound

log = structlog.get_logger()


class Rescorer:
    """Scores images of the image store; used from one thread."""

    def __init__(self, images: RetriableImageStore, settings: ScorerSettings) -> None:
        """Read images from this store, within the settings' limits on images."""
        self._images = images
        self._settings = settings

    def scores(self, references: Sequence[str], recipe: Recipe) -> list[float | PictureProblem | None]:
        """Return the anomaly score of each image, or why it is a bad picture; None if it is gone or broken."""
        framed = [self._framed(reference, recipe) for reference in references]
        scorable = [each for each in framed if isinstance(each, Framed)]
        if not scorable:
            return [each for each in framed if not isinstance(each, Framed)]
        found = recipe.detector.score_prepared(scorable, [recipe.references] * len(scorable))
        scores = iter(found.image_scores.tolist())
        return [next(scores) if isinstance(each, Framed) else each for each in framed]

    def descriptors(self, references: Sequence[str], recipe: Recipe) -> list[Descriptor | None]:
        """Return a vector per image by which images are compared; None if it is gone, broken or a bad picture."""
        framed = [self._framed(reference, recipe) for reference in references]
        scorable = [each for each in framed if isinstance(each, Framed)]
        if not scorable:
            return [None] * len(framed)
        found = iter(describe(recipe.detector, scorable))
        return [next(found) if isinstance(each, Framed) else None for each in framed]

    def framed(self, references: Sequence[str], recipe: Recipe) -> list[Framed | None]:
        """Return each image prepared for the recipe's detector; None if it is gone, broken or a bad picture."""
        found = [self._framed(reference, recipe) for reference in references]
        return [each if isinstance(each, Framed) else None for each in found]

    def _framed(self, reference: str, recipe: Recipe) -> Framed | PictureProblem | None:
        try:
            data = self._images.get(reference)
            image = decode(data, self._settings.image_limits, recipe.detector.target_size, recipe.bit_depth).pixels
        except (NotFound, BadImage) as error:
            log.warning("a frame can't be scored again", image=reference, error=str(error))
            return None
        return find_problem(measure(image), recipe.picture_limits) or recipe.prepare(image)
