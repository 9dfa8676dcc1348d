"""AnomalyDINO: the nearest patch by cosine, in turned copies of the normals, on the part alone where it stands out.

Damm, Laszkiewicz, Lederer and Fischer, "AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with DINOv2",
WACV 2025, arXiv 2405.14529.

The memory holds all patches of the normals and of copies turned by every eighth of a circle; the image score is the
mean of the farthest patches. Where the first principal component of the normals' patches shows a part in the middle
before a background, only the part is judged. The paper finds that out by looking at the first normal (its masking
test); here every normal must pass it. The paper cuts the component at 10, a number for DINOv2 alone; here in shares of
its deviation. Layers, of which the paper has one, each have unit length and stand side by side, so that the cosine is
their mean.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat

import torch
from torch.nn import functional

from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances import cosine
from scorer.distances.euclidean import concat_unit_layers
from scorer.distances.pooling import mean_of_largest

TOP_FRACTION = 0.01
"""The image score is the mean of this share of the patches, the farthest ones."""

ROTATIONS = tuple(range(0, 360, 45))

MAX_PATCHES = 16384
"""Of more patches a random choice is kept, so that a picture's comparison takes bounded time."""

SUBSAMPLE_SEED = 0

FOREGROUND_CUT = 0.5
"""A patch belongs to the part when the first component, from its mean, is above so many of its deviations."""

CENTRE_BORDER = 0.2
"""What is left of a picture without so much at each side is its middle."""

MIN_FILL = 0.35
"""A part that stands before a background fills at least this share of the middle, and less of the rim."""

RIM_CELLS = 2
"""The rim is so many cells from the edge: the outermost ones tell of the network's padding, whatever they show."""

KERNEL_CELLS = 3
"""Cells along each side by which the part is enlarged and its gaps closed."""

MARGIN = KERNEL_CELLS // 2

POWER_ITERATIONS = 30
"""Steps towards the first component; it is far ahead of the second wherever it shows a part."""


@dataclass(frozen=True, slots=True)
class ForegroundModel:
    """What tells the part from its background: a mean and a direction (D,), and where to cut; not used unless `shown`.

    shown: a bool of no dimension.
    """

    mean: torch.Tensor
    direction: torch.Tensor
    cut: torch.Tensor
    shown: torch.Tensor


class AnomalyDino:
    """AnomalyDINO on any backbone with patch tokens."""

    name = "anomalydino"
    rotations = ROTATIONS

    def __init__(self) -> None:
        self.configuration: MethodConfig = {
            "top_share": TOP_FRACTION,
            "most_kept": MAX_PATCHES,
            "choice_seed": SUBSAMPLE_SEED,
            "cut": FOREGROUND_CUT,
            "border": CENTRE_BORDER,
            "filled": MIN_FILL,
            "rim_cells": RIM_CELLS,
            "reach": KERNEL_CELLS,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep the memory, the normal each of its patches is of, and how to find the part."""
        pictures, cells = normals.valid_mask.nonzero(as_tuple=True)
        if len(cells) > MAX_PATCHES:
            drawn = torch.randperm(len(cells), generator=torch.Generator().manual_seed(SUBSAMPLE_SEED))[:MAX_PATCHES]
            chosen = drawn.sort().values.to(cells.device)
            pictures, cells = pictures[chosen], cells[chosen]
        part = fit_foreground(normals.in_fp32().unrotated())
        return {
            "memory": concat_unit_layers(normals.tokens[:, None, pictures, cells])[0],
            "owners": pictures // normals.copies,
            "mean": part.mean,
            "direction": part.direction,
            "cut": part.cut,
            "shown": part.shown,
        }

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The components beside the score: the farthest patch, and the share of the patches that are judged."""
        return _judged(queries, repeat(fitted["memory"], queries.image_count), _foreground(fitted))

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Against the memory of the others; where the part is, all normals together decided."""
        memories = (fitted["memory"][fitted["owners"] != place] for place in range(normals.image_count))
        return _judged(normals.unrotated(), memories, _foreground(fitted)).image


def fit_foreground(normals: Patches) -> ForegroundModel:
    """The first principal component of the normals' patches, pointing to their middle, and whether it shows a part."""
    patches = concat_unit_layers(normals.tokens)
    inside = patches[normals.valid_mask]
    mean = inside.mean(dim=0)
    direction = first_principal_component(inside - mean)
    along = (patches - mean) @ direction  # (B, P)
    cut = FOREGROUND_CUT * along[normals.valid_mask].std(correction=0)
    middle = central_cells(normals)
    if (along[middle] > cut).float().mean() < (-along[middle] > cut).float().mean():
        direction, along = -direction, -along
    part = along > cut
    shown = (_filled(part, middle) >= MIN_FILL) & (_filled(part, rim_cells(normals)) < MIN_FILL)
    return ForegroundModel(mean, direction, cut, shown.all())


def first_principal_component(deviations: torch.Tensor) -> torch.Tensor:
    """The direction in which (N, D) vary most, by power iteration from the farthest of them: (D,)."""
    direction = deviations[deviations.square().sum(dim=1).argmax()]
    for _ in range(POWER_ITERATIONS):
        direction = functional.normalize(deviations.T @ (deviations @ direction), dim=0)
    return direction


def foreground_mask(queries: Patches, patches: torch.Tensor, told_by: ForegroundModel) -> torch.Tensor:
    """Which of (B, P, D) are judged: those of the part, a little enlarged; the whole picture where there is none."""
    if not told_by.shown:
        return queries.valid_mask
    above = ((patches - told_by.mean) @ told_by.direction > told_by.cut) & queries.valid_mask
    maps = above.view(-1, 1, *queries.grid).float()
    enlarged = functional.pad(_grown(maps), (MARGIN,) * 4)  # room to close gaps without gluing the part to the edge
    closed = _shrunk(_grown(enlarged))[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    part = (closed.flatten(1) > 0) & queries.valid_mask
    return torch.where(part.any(dim=1, keepdim=True), part, queries.valid_mask)


def central_cells(pictures: Patches) -> torch.Tensor:
    """Cells at least `BORDER` of the picture's height and width from its sides, bars apart: (B, P)."""
    valid_mask = pictures.valid_mask.view(-1, *pictures.grid)
    rows, columns = _middle(valid_mask.any(dim=2)), _middle(valid_mask.any(dim=1))
    return (rows[:, :, None] & columns[:, None, :]).flatten(1) & pictures.valid_mask


def rim_cells(pictures: Patches) -> torch.Tensor:
    """Cells of the picture that are `RIM_CELLS` from its edge or a bar: (B, P)."""
    inside = pictures.valid_mask.view(-1, 1, *pictures.grid).float()
    for _ in range(RIM_CELLS - 1):
        inside = _shrunk(inside)
    return ((inside > 0) & (_shrunk(inside) == 0)).flatten(1)


def _middle(seen: torch.Tensor) -> torch.Tensor:
    """Of a run of seen cells in (B, N) those at least `BORDER` of its length from both ends."""
    place = (seen.cumsum(dim=1) - 0.5) / seen.sum(dim=1, keepdim=True)
    return seen & (place >= CENTRE_BORDER) & (place <= 1 - CENTRE_BORDER)


def _filled(part: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """The share of some cells (B, P) that belong to the part: (B,)."""
    return (part & where).sum(dim=1) / where.sum(dim=1).clamp(min=1)


def _grown(maps: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(maps, KERNEL_CELLS, stride=1, padding=MARGIN)


def _shrunk(maps: torch.Tensor) -> torch.Tensor:
    """What lies outside counts as empty."""
    around = functional.pad(maps, (MARGIN,) * 4)
    return -functional.max_pool2d(-around, KERNEL_CELLS, stride=1)


def _judged(queries: Patches, memories: Iterable[torch.Tensor], told_by: ForegroundModel) -> ScoreTensors:
    """Each picture against a memory of its own."""
    patches = concat_unit_layers(queries.tokens)
    part = foreground_mask(queries, patches, told_by)
    maps = torch.zeros_like(part, dtype=torch.float32)
    for place, (tokens, memory, judged) in enumerate(zip(patches, memories, part, strict=True)):
        maps[place, judged] = cosine.nearest_residual(tokens[judged][None, None], memory[None])[0]
    pairs = zip(maps, queries.valid_mask, strict=True)
    image = torch.stack([mean_of_largest(values[seen], TOP_FRACTION) for values, seen in pairs])
    share = part.sum(dim=1) / queries.valid_mask.sum(dim=1)
    return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1), "share judged": share})


def _foreground(fitted: Mapping[str, torch.Tensor]) -> ForegroundModel:
    return ForegroundModel(fitted["mean"], fitted["direction"], fitted["cut"], fitted["shown"])
