"""AnomalyDINO: the nearest patch by cosine, in rotated copies of the normals, on the part without its background.

Damm, Laszkiewicz, Lederer and Fischer, "AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with DINOv2",
WACV 2025, arXiv 2405.14529.

The memory holds all patches of the normals and of copies rotated by every eighth of a circle; the image score is the
mean of the farthest patches. Where the first principal component of the normals' patches shows a part in the middle
before a background, only the part is scored. The paper finds that out from the first normal (its masking test); here
every normal must pass it. The paper cuts the component at 10, a number for DINOv2 alone; here the cut is a multiple of
its standard deviation. Layers, of which the paper has one, each have unit length and stand side by side, so that the
cosine is their mean.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat

import torch
from torch.nn import functional

from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.cosine import nearest_residual
from scorer.distances.euclidean import concat_unit_layers
from scorer.distances.pooling import mean_of_largest

TOP_FRACTION = 0.01
"""The image score is the mean of this fraction of the patches, the farthest ones."""

ROTATIONS = tuple(range(0, 360, 45))

MAX_PATCHES = 16384
"""Of more patches a random choice is stored, so that comparing an image takes bounded time."""

SUBSAMPLE_SEED = 0

FOREGROUND_CUT = 0.5
"""A patch belongs to the part when the first component, from its mean, exceeds this many standard deviations."""

CENTRE_BORDER = 0.2
"""The centre of an image is what remains without this fraction of it at each side."""

MIN_FILL = 0.35
"""A part before a background fills at least this fraction of the centre, and less of the rim."""

RIM_CELLS = 2
"""The rim lies this many cells from the edge: the outermost ones show the network's own padding."""

KERNEL_CELLS = 3
"""Side, in cells, of the kernel that enlarges the part and closes its gaps."""

MARGIN = KERNEL_CELLS // 2

POWER_ITERATIONS = 30
"""Steps towards the first component, which is far larger than the second wherever it shows a part."""


@dataclass(frozen=True, slots=True)
class ForegroundModel:
    """The separation of the part from its background.

    Attributes:
        mean: Of the normals' patches, (D,).
        direction: The first principal component, pointing to the part, (D,).
        cut: How far along it the part begins, a scalar.
        shown: Whether all normals show a part before a background, a bool scalar; else the rest is not used.
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
            "top_fraction": TOP_FRACTION,
            "max_patches": MAX_PATCHES,
            "subsample_seed": SUBSAMPLE_SEED,
            "foreground_cut": FOREGROUND_CUT,
            "centre_border": CENTRE_BORDER,
            "min_fill": MIN_FILL,
            "rim_cells": RIM_CELLS,
            "kernel_cells": KERNEL_CELLS,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store the memory (M, D), the normal that each of its patches is of (M,), and how to find the part."""
        images, cells = normals.valid_mask.nonzero(as_tuple=True)
        if len(cells) > MAX_PATCHES:
            seeded = torch.Generator().manual_seed(SUBSAMPLE_SEED)
            chosen = torch.randperm(len(cells), generator=seeded)[:MAX_PATCHES].sort().values.to(cells.device)
            images, cells = images[chosen], cells[chosen]
        part = fit_foreground(normals.in_fp32().unrotated())
        return {
            "memory": concat_unit_layers(normals.tokens[:, None, images, cells])[0],
            "owners": images // normals.copies,
            "mean": part.mean,
            "direction": part.direction,
            "cut": part.cut,
            "shown": part.shown,
        }

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images; the components are the farthest patch, and the fraction of the patches that is compared."""
        return _score_each(queries, repeat(fitted["memory"], queries.image_count), _foreground(fitted))

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal against the memory of the others; where the part is, all normals together decided: (K,)."""
        memories = (fitted["memory"][fitted["owners"] != normal] for normal in range(normals.image_count))
        return _score_each(normals.unrotated(), memories, _foreground(fitted)).image


def fit_foreground(normals: Patches) -> ForegroundModel:
    """Fit the first principal component of the normals' patches, pointing to their centre, and test whether it shows
    a part."""
    patches = concat_unit_layers(normals.tokens)  # (B, P, D)
    valid = patches[normals.valid_mask]
    mean = valid.mean(dim=0)
    direction = first_principal_component(valid - mean)
    along = (patches - mean) @ direction  # (B, P)
    cut = FOREGROUND_CUT * along[normals.valid_mask].std(correction=0)
    centre = central_cells(normals)
    if (along[centre] > cut).float().mean() < (-along[centre] > cut).float().mean():
        direction, along = -direction, -along
    part = along > cut
    shown = (_fill(part, centre) >= MIN_FILL) & (_fill(part, rim_cells(normals)) < MIN_FILL)
    return ForegroundModel(mean, direction, cut, shown.all())


def first_principal_component(deviations: torch.Tensor) -> torch.Tensor:
    """Return the direction in which (N, D) vary most, by power iteration from the longest of them: (D,)."""
    direction = deviations[deviations.square().sum(dim=1).argmax()]
    for _ in range(POWER_ITERATIONS):
        direction = functional.normalize(deviations.T @ (deviations @ direction), dim=0)
    return direction


def foreground_mask(queries: Patches, patches: torch.Tensor, model: ForegroundModel) -> torch.Tensor:
    """Return which of (B, P, D) are compared: those of the part, slightly enlarged; all valid ones where none is found.

    Returns (B, P) bool.
    """
    if not model.shown:
        return queries.valid_mask
    above = ((patches - model.mean) @ model.direction > model.cut) & queries.valid_mask
    maps = above.view(-1, 1, *queries.grid).float()
    enlarged = functional.pad(_dilate(maps), (MARGIN,) * 4)  # room to close gaps without joining the part to the edge
    closed = _erode(_dilate(enlarged))[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    part = (closed.flatten(1) > 0) & queries.valid_mask
    return torch.where(part.any(dim=1, keepdim=True), part, queries.valid_mask)


def central_cells(images: Patches) -> torch.Tensor:
    """Return the valid cells at least `CENTRE_BORDER` of an image's height and width from its sides: (B, P)."""
    valid_mask = images.valid_mask.view(-1, *images.grid)
    rows, columns = _central(valid_mask.any(dim=2)), _central(valid_mask.any(dim=1))
    return (rows[:, :, None] & columns[:, None, :]).flatten(1) & images.valid_mask


def rim_cells(images: Patches) -> torch.Tensor:
    """Return the cells of an image that lie `RIM_CELLS` from its edge or from padding: (B, P)."""
    inside = images.valid_mask.view(-1, 1, *images.grid).float()
    for _ in range(RIM_CELLS - 1):
        inside = _erode(inside)
    return ((inside > 0) & (_erode(inside) == 0)).flatten(1)


def _central(valid: torch.Tensor) -> torch.Tensor:
    """Return the valid cells of (B, N), one run each, at least `CENTRE_BORDER` of the run's length from its ends."""
    position = (valid.cumsum(dim=1) - 0.5) / valid.sum(dim=1, keepdim=True)
    return valid & (position >= CENTRE_BORDER) & (position <= 1 - CENTRE_BORDER)


def _fill(part: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the fraction of the cells `where` (B, P) that belong to the part: (B,)."""
    return (part & where).sum(dim=1) / where.sum(dim=1).clamp(min=1)


def _dilate(maps: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(maps, KERNEL_CELLS, stride=1, padding=MARGIN)


def _erode(maps: torch.Tensor) -> torch.Tensor:
    """Erode maps (B, 1, rows, columns); cells outside count as empty."""
    padded = functional.pad(maps, (MARGIN,) * 4)
    return -functional.max_pool2d(-padded, KERNEL_CELLS, stride=1)


def _score_each(queries: Patches, memories: Iterable[torch.Tensor], model: ForegroundModel) -> ScoreTensors:
    """Score each image against a memory of its own."""
    patches = concat_unit_layers(queries.tokens)
    compared = foreground_mask(queries, patches, model)
    maps = torch.zeros_like(compared, dtype=torch.float32)
    for index, (tokens, memory, mask) in enumerate(zip(patches, memories, compared, strict=True)):
        maps[index, mask] = nearest_residual(tokens[mask][None, None], memory[None])[0]
    pairs = zip(maps, queries.valid_mask, strict=True)
    image = torch.stack([mean_of_largest(values[valid], TOP_FRACTION) for values, valid in pairs])
    fraction = compared.sum(dim=1) / queries.valid_mask.sum(dim=1)
    return ScoreTensors(image, maps, {"farthest patch": maps.amax(dim=1), "foreground fraction": fraction})


def _foreground(fitted: Mapping[str, torch.Tensor]) -> ForegroundModel:
    return ForegroundModel(fitted["mean"], fitted["direction"], fitted["cut"], fitted["shown"])
