"""PaDiM: at every cell of the grid a Gaussian of the normals' patches there; a patch's Mahalanobis distance to it.

Defard, Setkov, Loesch and Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization", ICPR 2020, arXiv 2011.08785.

Layers stand side by side, and a random choice of all their channels is used. The covariance of K normals has at most
K − 1 directions, besides the constant that keeps it invertible; so no matrix is inverted: a distance is how far a patch
deviates along those directions, each divided by its own variance, and off them, divided by the constant. The distance
of each normal to the Gaussians of the others follows in closed form (docs/adr/0022). The map is smoothed slightly; the
image score is its largest value.
"""

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.euclidean import concat_layers, used_channels

CHANNELS = 100
"""Number of channels used, chosen at random (the paper's d for ResNet-18)."""

CHANNEL_SEED = 0

REGULARISATION = 0.01
"""Added to each variance (the paper's ε)."""

SMOOTHING = 1 / 64
"""Standard deviation of the Gaussian that smooths the map, as a fraction of the image's height (the paper's σ, 4 of
256 pixels)."""

MIN_SCATTER = 1e-10
"""A direction with less than this fraction of the largest scatter is made of rounding errors."""

EPSILON = 1e-30


class Padim:
    """PaDiM on any backbone with patch tokens; it needs parts that lie at the same position in every image."""

    name = "padim"
    rotations = (0,)

    def __init__(self) -> None:
        self.configuration: MethodConfig = {
            "channels": CHANNELS,
            "channel_seed": CHANNEL_SEED,
            "regularisation": REGULARISATION,
            "smoothing": SMOOTHING,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store for each cell the mean, the directions in which the normals vary, and their variances."""
        chosen = select_channels(normals.tokens)
        by_cell = concat_layers(normals.in_fp32().tokens)[:, :, chosen].transpose(0, 1)  # (P, K, D)
        return {"channels": chosen, **fit_gaussians(by_cell, normals.valid_mask.T, normals.grid)}

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images; the component is the image score itself, the map's largest value."""
        by_cell = concat_layers(queries.tokens)[:, :, fitted["channels"]].transpose(0, 1)  # (P, B, D)
        maps = smooth_maps(mahalanobis(by_cell, fitted).T, queries.valid_mask, queries.grid)
        image = maps.amax(dim=1)
        return ScoreTensors(image, maps, {"farthest patch": image})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the distance of each normal's farthest patch to the Gaussians of the others, (K,)."""
        by_cell = concat_layers(normals.tokens)[:, :, fitted["channels"]].transpose(0, 1)  # (P, K, D)
        distances, compared = leave_one_out_mahalanobis(by_cell, normals.valid_mask.T)
        return smooth_maps(distances.T, compared.T, normals.grid).amax(dim=1)


def select_channels(tokens: torch.Tensor) -> torch.Tensor:
    """Choose channels of the joined layers, in rising order: (channels,) int64.

    Zeros that only fill a layer to the others' width are never chosen.
    """
    width = tokens.shape[3]
    used = [torch.arange(layer * width, layer * width + count) for layer, count in enumerate(used_channels(tokens))]
    channels = torch.cat(used)
    drawn = torch.randperm(len(channels), generator=torch.Generator().manual_seed(CHANNEL_SEED))[:CHANNELS]
    return channels[drawn.sort().values].to(tokens.device)


def fit_gaussians(by_cell: torch.Tensor, valid_mask: torch.Tensor, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Fit a Gaussian to each cell of K normals.

    A cell that is padding in every normal has the Gaussian of the nearest cell that is not.

    Args:
        by_cell: Patches cell by cell, (P, K, D).
        valid_mask: Which of them show the image, (P, K) bool.
        grid: Rows and columns.

    Returns:
        means (P, D); axes (P, K, D), orthonormal or zero; variances (P, K) along the axes, without the constant.
    """
    deviations, means, count = _centred(by_cell, valid_mask)
    # Few normals, many channels: the covariance's axes come from the products of deviations, (P, K, K).
    products = deviations @ deviations.transpose(1, 2)
    scatters, eigenvectors = torch.linalg.eigh(products)
    real = scatters > _min_scatter(scatters)
    lengths = torch.where(real, scatters, torch.inf).sqrt()
    axes = (eigenvectors.transpose(1, 2) @ deviations) / lengths[:, :, None]
    variances = torch.where(real, scatters, 0) / (count - 1).clamp(min=1)[:, None]
    nearest = nearest_valid(valid_mask.any(dim=1), grid)
    return {"means": means[nearest].float(), "axes": axes[nearest].float(), "variances": variances[nearest].float()}


def mahalanobis(by_cell: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the distances of B patches of each cell, (P, B, D), to the cell's Gaussian: (P, B)."""
    deviations = by_cell - fitted["means"][:, None]
    along = deviations @ fitted["axes"].transpose(1, 2)  # (P, B, K)
    off = deviations - along @ fitted["axes"]
    squared = (along.square() / (fitted["variances"] + REGULARISATION)[:, None]).sum(dim=2)
    return (squared + off.square().sum(dim=2) / REGULARISATION).sqrt()


def leave_one_out_mahalanobis(by_cell: torch.Tensor, valid_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distance of each of K normals (P, K, D) to the Gaussian of the others in its cell, (P, K).

    The second result, (P, K), is False where the normal or all others are padding. Names and formula are those of
    docs/adr/0022.
    """
    deviations, _, count = _centred(by_cell, valid_mask)
    products = deviations @ deviations.transpose(1, 2)  # (P, K, K)
    scatters, eigenvectors = torch.linalg.eigh(products)
    ridge = (REGULARISATION * (count - 2).clamp(min=1))[:, None]
    real = scatters > _min_scatter(scatters)
    on_axes = eigenvectors.square() * real[:, None]  # (P, K, axes)
    damped = torch.where(real, scatters, 1) + ridge
    leverage = (on_axes * (scatters / damped)[:, None]).sum(dim=2)
    grown = (count / (count - 1).clamp(min=1))[:, None]
    on_none = (1 / grown - on_axes.sum(dim=2)).clamp(min=0)
    resolvent = (on_axes / damped[:, None]).sum(dim=2) + on_none / ridge
    alone = grown.square() * products.diagonal(dim1=1, dim2=2)
    squared = torch.where(count[:, None] > 2, grown * leverage / resolvent.clamp(min=EPSILON), alone) / REGULARISATION
    return squared.clamp(min=0).sqrt().float(), valid_mask & (count > 1)[:, None]


def smooth_maps(maps: torch.Tensor, valid: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Smooth maps (B, P) where `valid` (B, P) is True; other cells are 0 and do not enter the smoothing."""
    deviation = SMOOTHING * grid[0]
    reach = math.ceil(4 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=maps.device) / deviation).square())
    weight = valid.view(-1, 1, *grid).to(maps.dtype)
    sums = _blurred(maps.masked_fill(~valid, 0).view(-1, 1, *grid), kernel)
    return (sums / _blurred(weight, kernel).clamp(min=EPSILON)).flatten(1).masked_fill(~valid, 0)


def _blurred(maps: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolve (B, 1, rows, columns) with a kernel along both axes, zero-padded."""
    reach = len(kernel) // 2
    along = functional.conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(along, kernel.view(1, 1, -1, 1), padding=(reach, 0))


def _centred(by_cell: torch.Tensor, valid_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return deviations (P, K, D) from the mean of the valid ones, 0 for the others, that mean (P, D), and their
    number (P,)."""
    valid = valid_mask[:, :, None].double()
    count = valid.sum(dim=1)
    means = (by_cell * valid).sum(dim=1) / count.clamp(min=1)
    return (by_cell - means[:, None]) * valid, means, count[:, 0]


def _min_scatter(scatters: torch.Tensor) -> torch.Tensor:
    """Return the scatter below which a direction is made of rounding errors: (P, K) to (P, 1)."""
    return scatters.amax(dim=1, keepdim=True) * MIN_SCATTER


def nearest_valid(valid: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return for each cell the nearest valid one, the cell itself where it is valid: (P,) indices."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    cells = torch.stack([rows.flatten(), columns.flatten()], dim=1).float().to(valid.device)
    return torch.cdist(cells, cells).masked_fill(~valid, torch.inf).argmin(dim=1)
