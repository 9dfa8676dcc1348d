"""PaDiM: at every place of the picture a Gaussian of the normals' patches there; a patch's Mahalanobis distance to it.

Defard, Setkov, Loesch and Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization", ICPR 2020, arXiv 2011.08785.

Layers stand side by side and, of all their channels, a random choice stays. The covariance of K normals has at most
K − 1 directions, beside the constant that keeps it invertible; so no matrix is inverted: a distance is what a patch
deviates along those directions, each by its own spread, and off them, by the constant. What each normal's distance is
to the Gaussians of the others follows in closed form (docs/adr/0022). The map is smoothed a little; the image
score is its largest value.
"""

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.euclidean import concat_layers, used_channels

CHANNELS = 100
"""So many channels are kept, chosen at random (the paper's d for ResNet-18)."""

CHANNEL_SEED = 0

CONSTANT = 0.01
"""What is added to each variance (the paper's ε)."""

SMOOTHING = 1 / 64
"""The map is smoothed by a Gaussian of so much of the picture's height (the paper's σ, 4 of 256 pixels)."""

MIN_SCATTER = 1e-10
"""A direction with less than this share of the widest one's scatter is none."""

EPSILON = 1e-30


class Padim:
    """PaDiM on any backbone with patch tokens; it wants parts that lie still."""

    name = "padim"
    rotations = (0,)

    def __init__(self) -> None:
        self.configuration: MethodConfig = {
            "channels": CHANNELS,
            "choice_seed": CHANNEL_SEED,
            "constant": CONSTANT,
            "smoothing": SMOOTHING,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep for each place the mean, the directions in which the normals vary, and how much."""
        chosen = select_channels(normals.tokens)
        at_place = concat_layers(normals.in_fp32().tokens)[:, :, chosen].transpose(0, 1)  # (P, K, D)
        return {"channels": chosen, **fit_gaussians(at_place, normals.valid_mask.T, normals.grid)}

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The image score is the map's largest value; there are no other components."""
        at_place = concat_layers(queries.tokens)[:, :, fitted["channels"]].transpose(0, 1)  # (P, B, D)
        maps = smooth_maps(mahalanobis(at_place, fitted).T, queries.valid_mask, queries.grid)
        image = maps.amax(dim=1)
        return ScoreTensors(image, maps, {"farthest patch": image})

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Each normal's farthest patch from the Gaussians of the others."""
        at_place = concat_layers(normals.tokens)[:, :, fitted["channels"]].transpose(0, 1)  # (P, K, D)
        distances, judged = leave_one_out_mahalanobis(at_place, normals.valid_mask.T)
        return smooth_maps(distances.T, judged.T, normals.grid).amax(dim=1)


def select_channels(tokens: torch.Tensor) -> torch.Tensor:
    """Which of the joined channels are kept, rising: zeros that only fill a layer up to the others' width never are."""
    width = tokens.shape[3]
    used = [torch.arange(layer * width, layer * width + end) for layer, end in enumerate(used_channels(tokens))]
    channels = torch.cat(used)
    drawn = torch.randperm(len(channels), generator=torch.Generator().manual_seed(CHANNEL_SEED))[:CHANNELS]
    return channels[drawn.sort().values].to(tokens.device)


def fit_gaussians(at_place: torch.Tensor, valid_mask: torch.Tensor, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """A Gaussian for each place of K normals (P, K, D) that look at it where (P, K) says so.

    means: (P, D); axes: (P, K, D), orthonormal or zero; variances: (P, K) along the axes, without the constant. A place
    that no normal looks at has the Gaussian of the nearest place that one does.
    """
    deviations, means, count = _centred(at_place, valid_mask)
    # Few normals, many channels: the covariance's axes come from the products of deviations, (P, K, K).
    products = deviations @ deviations.transpose(1, 2)
    scatters, turned = torch.linalg.eigh(products)
    real = scatters > _rounding(scatters)
    lengths = torch.where(real, scatters, torch.inf).sqrt()
    axes = (turned.transpose(1, 2) @ deviations) / lengths[:, :, None]
    variances = torch.where(real, scatters, 0) / (count - 1).clamp(min=1)[:, None]
    source = nearest_valid(valid_mask.any(dim=1), grid)
    return {"means": means[source].float(), "axes": axes[source].float(), "variances": variances[source].float()}


def mahalanobis(at_place: torch.Tensor, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Distances of B patches at each place, (P, B, D), to its Gaussian: (P, B)."""
    deviations = at_place - fitted["means"][:, None]
    along = deviations @ fitted["axes"].transpose(1, 2)  # (P, B, K)
    off = deviations - along @ fitted["axes"]
    squared = (along.square() / (fitted["variances"] + CONSTANT)[:, None]).sum(dim=2)
    return (squared + off.square().sum(dim=2) / CONSTANT).sqrt()


def leave_one_out_mahalanobis(at_place: torch.Tensor, valid_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of each of K normals (P, K, D) to the Gaussian of the others at its place, (P, K).

    The second answer, (P, K), is False where it does not look or no other does. Names and formula as in docs/adr/0022.
    """
    deviations, _, count = _centred(at_place, valid_mask)
    products = deviations @ deviations.transpose(1, 2)  # (P, K, K)
    scatters, turned = torch.linalg.eigh(products)
    ridge = (CONSTANT * (count - 2).clamp(min=1))[:, None]
    real = scatters > _rounding(scatters)
    on_axes = turned.square() * real[:, None]  # (P, K, axes)
    damped = torch.where(real, scatters, 1) + ridge
    leverage = (on_axes * (scatters / damped)[:, None]).sum(dim=2)
    grown = (count / (count - 1).clamp(min=1))[:, None]
    on_none = (1 / grown - on_axes.sum(dim=2)).clamp(min=0)
    resolvent = (on_axes / damped[:, None]).sum(dim=2) + on_none / ridge
    alone = grown.square() * products.diagonal(dim1=1, dim2=2)
    squared = torch.where(count[:, None] > 2, grown * leverage / resolvent.clamp(min=EPSILON), alone) / CONSTANT
    return squared.clamp(min=0).sqrt().float(), valid_mask & (count > 1)[:, None]


def smooth_maps(maps: torch.Tensor, judged: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Maps (B, P), smoothed where (B, P) says that a cell is judged, 0 elsewhere; other cells have no say."""
    deviation = SMOOTHING * grid[0]
    reach = math.ceil(4 * deviation)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=maps.device) / deviation).square())
    weight = judged.view(-1, 1, *grid).to(maps.dtype)
    sums = _blurred(maps.masked_fill(~judged, 0).view(-1, 1, *grid), bell)
    return (sums / _blurred(weight, bell).clamp(min=EPSILON)).flatten(1).masked_fill(~judged, 0)


def _blurred(maps: torch.Tensor, bell: torch.Tensor) -> torch.Tensor:
    """(B, 1, rows, columns) along both axes, with nothing around."""
    reach = len(bell) // 2
    along = functional.conv2d(maps, bell.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(along, bell.view(1, 1, -1, 1), padding=(reach, 0))


def _centred(at_place: torch.Tensor, valid_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Deviations (P, K, D) from the mean of those that look, (P, D), 0 for the others, and how many look, (P,)."""
    looking = valid_mask[:, :, None].double()
    count = looking.sum(dim=1)
    means = (at_place * looking).sum(dim=1) / count.clamp(min=1)
    return (at_place - means[:, None]) * looking, means, count[:, 0]


def _rounding(scatters: torch.Tensor) -> torch.Tensor:
    """Below this a direction is made of rounding errors: (P, K) to (P, 1)."""
    return scatters.amax(dim=1, keepdim=True) * MIN_SCATTER


def nearest_valid(seen: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """For each place the place nearest to it that is seen, itself where it is: (P,)."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    cells = torch.stack([rows.flatten(), columns.flatten()], dim=1).float().to(seen.device)
    return torch.cdist(cells, cells).masked_fill(~seen, torch.inf).argmin(dim=1)
