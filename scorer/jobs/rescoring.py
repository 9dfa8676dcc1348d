"""Score stored images again, in small chunks while the line runs."""

from collections.abc import Sequence

import structlog

from imaging.decode import decode
from imaging.errors import BadImage
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

    def scores(self, references: Sequence[str], recipe: Recipe) -> list[float | None]:
        """Return the anomaly score of each image; None for one that is gone or can't be decoded."""
        framed = [self._framed(reference, recipe) for reference in references]
        present = [each for each in framed if each is not None]
        if not present:
            return [None for _ in framed]
        found = recipe.detector.score_prepared(present, [recipe.references] * len(present))
        scores = iter(found.image_scores.tolist())
        return [None if each is None else next(scores) for each in framed]

    def _framed(self, reference: str, recipe: Recipe) -> Framed | None:
        try:
            data = self._images.get(reference)
            image = decode(data, self._settings.image_limits, recipe.detector.target_size, recipe.bit_depth).pixels
        except (NotFound, BadImage) as error:
            log.warning("a frame can't be scored again", image=reference, error=str(error))
            return None
        return recipe.detector.prepare(image)
