"""Evidence of stored frames, which heads are fitted to; kept, so that a second fit encodes no frame again."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scorer.detectors.capabilities.defect_term import learns_defects
from scorer.jobs.job_progress import CHUNK_FRAMES
from scorer.jobs.rescoring import Rescorer
from scorer.recipes.recipe import Recipe

MAX_KEPT = 4000
"""Frames whose evidence is kept in memory, 4 KB each with the built-in backbone."""


@dataclass(frozen=True, slots=True)
class FrameEvidence:
    """A frame's score by the normals alone, and its evidence, (F,) float32."""

    score: float
    evidence: npt.NDArray[np.float32]


_Key = tuple[str, int, str | None, str]
"""Model, normal set, digest of what its references depend on, and image."""


class FrameEvidenceCache:
    """Computes evidence, and keeps what was used last; used from one thread."""

    def __init__(self, rescorer: Rescorer) -> None:
        """Encode images with this rescorer."""
        self._rescorer = rescorer
        self._kept: OrderedDict[_Key, FrameEvidence | None] = OrderedDict()

    def get(self, references: Sequence[str], recipe: Recipe) -> list[FrameEvidence | None]:
        """Return the evidence of each image; None if it is gone, broken or a bad picture.

        Args:
            references: Images in the image store, none of them a normal.
            recipe: One without a head, of a detector that learns defects.
        """
        keys = [_key(reference, recipe) for reference in references]
        missing = list(dict.fromkeys(key for key in keys if key not in self._kept))
        for first in range(0, len(missing), CHUNK_FRAMES):
            chunk = missing[first : first + CHUNK_FRAMES]
            self._kept.update(zip(chunk, self._compute([key[-1] for key in chunk], recipe), strict=True))
        found = [self._kept[key] for key in keys]
        for key in keys:
            self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found

    def _compute(self, references: Sequence[str], recipe: Recipe) -> list[FrameEvidence | None]:
        detector = recipe.detector
        assert learns_defects(detector)
        framed = self._rescorer.framed(references, recipe)
        scorable = [each for each in framed if each is not None]
        if not scorable:
            return [None] * len(framed)
        found = detector.evidence(detector.encode(scorable), recipe.references)
        rows = (
            FrameEvidence(score, row.astype(np.float32))
            for score, row in zip(found.scores.tolist(), found.evidence, strict=True)
        )
        return [None if each is None else next(rows) for each in framed]


def _key(reference: str, recipe: Recipe) -> _Key:
    threshold = recipe.threshold
    return recipe.model_id, threshold.normal_set_id, threshold.references_digest, reference
