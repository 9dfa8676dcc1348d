"""Scores with a defect term, for batches that mix stations with one and stations without."""

from collections.abc import Mapping, Sequence

import torch

from scorer.detectors.capabilities.defect_term import COMPONENT, MAX_LOG_FACTOR, DefectTerm
from scorer.detectors.patch_based.method import GivesEvidence, PatchMethod
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.recipes.calibration import MIN_SCORE

TERM = "defect term"
"""The tensor among those of the references that holds a station's term, (F + 1,): its weights, then its offset."""

PLAIN_SCORE = "score by normals alone"
"""The component that says what the score would be without the term."""


def term_tensor(term: DefectTerm, device: torch.device) -> torch.Tensor:
    """Return a term as `add_defect_terms` finds it in references."""
    return torch.cat([torch.from_numpy(term.weights), torch.tensor([term.offset])]).to(device)


def add_defect_terms(
    method: PatchMethod,
    scores: ScoreTensors,
    queries: Patches,
    groups: Sequence[tuple[int, Mapping[str, torch.Tensor]]],
) -> ScoreTensors:
    """Return the scores with the terms of those stations that have one, and two components that explain them.

    The components are NaN for images of other stations; where no station has a term, they are missing.

    Args:
        method: The method that scored.
        scores: The scores without terms.
        queries: The images, station by station.
        groups: For each station the number of its images and the tensors of its references.
    """
    if not any(TERM in fitted for _, fitted in groups):
        return scores
    assert isinstance(method, GivesEvidence)
    image = scores.image.clone()
    logarithms = torch.full_like(image, torch.nan)
    plain = torch.full_like(image, torch.nan)
    first = 0
    for count, fitted in groups:
        images = slice(first, first := first + count)
        if TERM not in fitted:
            continue
        of_station = queries.take(range(images.start, images.stop))
        term = fitted[TERM]
        evidence = method.evidence(of_station, scores.maps[images], fitted)  # (count, F)
        logarithms[images] = (evidence @ term[:-1] + term[-1]).clamp(-MAX_LOG_FACTOR, MAX_LOG_FACTOR)
        plain[images] = scores.image[images]
        image[images] = scores.image[images].clamp(min=MIN_SCORE) * logarithms[images].exp()
    return ScoreTensors(image, scores.maps, {**scores.components, PLAIN_SCORE: plain, COMPONENT: logarithms})
