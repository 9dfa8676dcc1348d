"""Registration: a small network that predicts from an image's patches how to rotate, scale and shift to align them.

It is the spatial transformer (Jaderberg et al., arXiv 1506.02025) of RegAD (`scorer.detectors.regad.method`). So that
one set of weights serves every backbone, it sees not the patches' channels but how similar patches are: to the image's
mean, to the mean of its rim, and to their own neighbours.
"""

import math
from pathlib import Path

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

from scorer.backbones.weights import checkpoints
from scorer.detectors.anomalydino import rim_cells
from scorer.detectors.patch_based.patches import Patches
from scorer.distances.euclidean import concat_unit_layers

WEIGHTS = Path(__file__).with_name("registration.safetensors")
SHA256 = "4165841561f859f0d80a6c9f85eb955ca99d2e218489ffeeb8fac109318b17a6"

GRID_SIDE = 16
"""Rows and columns to which similarity maps of any grid are averaged or repeated."""

SIMILARITY_MAPS = 4
CONV_WIDTHS = (16, 32)
HIDDEN_WIDTH = 32

MAX_ROTATION = math.pi / 4
MAX_SCALE = 1.25
MAX_SHIFT = 0.25
"""Limits: rotation in radians, scale up or down, shift as a fraction of half the image."""

MIN_COVERAGE = 0.5
"""A cell of which a warped image covers less than this fraction is not valid."""

EPSILON = 1e-6


class RegistrationNetwork(nn.Module):
    """From similarity maps (B, 4, 16, 16) to affine maps (B, 2, 3) for `affine_grid`; begins as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(SIMILARITY_MAPS, CONV_WIDTHS[0], 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(CONV_WIDTHS[0], CONV_WIDTHS[1], 3, stride=2, padding=1)
        self.hidden = nn.Linear(CONV_WIDTHS[1] * (GRID_SIDE // 4) ** 2, HIDDEN_WIDTH)
        self.last = nn.Linear(HIDDEN_WIDTH, 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, similarities: torch.Tensor, aspect: float = 1.0) -> torch.Tensor:
        """Predict affine maps; `aspect` is rows divided by columns, so that a rotation stays one on an oblong grid."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(similarities))))
        rotation, scale, right, down = self.last(functional.relu(self.hidden(x.flatten(1)))).tanh().unbind(dim=1)
        factor = (scale * math.log(MAX_SCALE)).exp()
        cos, sin = factor * (rotation * MAX_ROTATION).cos(), factor * (rotation * MAX_ROTATION).sin()
        across = torch.stack([cos, -sin * aspect, right * MAX_SHIFT], dim=1)
        along = torch.stack([sin / aspect, cos, down * MAX_SHIFT], dim=1)
        return torch.stack([across, along], dim=1)


def similarity_maps(images: Patches) -> torch.Tensor:
    """Return the network's input for images, (B, 4, 16, 16): three standardised similarities and the valid cells."""
    patches, valid_mask = concat_unit_layers(images.tokens), images.valid_mask
    to_mean = _similarity(patches, _mean_direction(patches, valid_mask)[:, None])
    to_rim = _similarity(patches, _mean_direction(patches, rim_cells(images))[:, None])
    to_neighbours = _similarity(patches, _neighbour_direction(patches * valid_mask[:, :, None], images.grid))
    similarities = [_standardise(similarity, valid_mask) for similarity in (to_mean, to_rim, to_neighbours)]
    maps = torch.stack([*similarities, valid_mask.float()], dim=1)  # (B, 4, P)
    on_grid = rearrange(maps, "b kind (r c) -> b kind r c", r=images.grid[0])
    return functional.adaptive_avg_pool2d(on_grid, GRID_SIDE)


def warp_patches(images: Patches, transforms: torch.Tensor) -> Patches:
    """Warp the patches of images by affine maps (B, 2, 3); padding is warped too and does not mix with the image."""
    maps = rearrange(images.tokens, "l b (r c) w -> b (l w) r c", r=images.grid[0])
    sampled, coverage = warp_maps(maps, images.valid_mask.view(-1, 1, *images.grid), transforms)
    tokens = rearrange(sampled, "b (l w) r c -> l b (r c) w", l=len(images.tokens))
    return Patches(tokens, (coverage > MIN_COVERAGE).flatten(1), images.grid, images.copies)


def warp_maps(maps: torch.Tensor, inside: torch.Tensor, transforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Warp maps (B, C, rows, columns) where `inside` (B, 1, rows, columns) is True.

    Returns:
        The warped maps, and the fraction of each cell that they cover, (B, 1, rows, columns).
    """
    grid = functional.affine_grid(transforms, list(maps.shape), align_corners=False)
    masked = maps.masked_fill(~inside, 0)
    coverage = functional.grid_sample(inside.float(), grid, align_corners=False)
    return functional.grid_sample(masked, grid, align_corners=False) / coverage.clamp(min=EPSILON), coverage


def invert_affine(transforms: torch.Tensor) -> torch.Tensor:
    """Return the affine maps (B, 2, 3) that undo those given."""
    inverse = torch.linalg.inv(transforms[:, :, :2])
    return torch.cat([inverse, -inverse @ transforms[:, :, 2:]], dim=2)


def load_registration(path: Path = WEIGHTS, expected: str | None = SHA256) -> RegistrationNetwork:
    """Load the network with the weights that ship in this package; `expected` None takes a file of any sha256.

    Raises `InvalidWeights` for a file that is missing, cut short, changed or of another network.
    """
    network = RegistrationNetwork()
    checkpoints.load_packaged(network, path, expected, "RegAD's registration")
    return network.eval().requires_grad_(False)


def _mean_direction(patches: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the mean of (B, P, D) where (B, P) is True, at unit length: (B, D)."""
    return functional.normalize((patches * where[:, :, None]).sum(dim=1), dim=1)


def _neighbour_direction(patches: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return the direction of the sum of each patch's eight neighbours: (B, P, D)."""
    maps = rearrange(patches, "b (r c) d -> b d r c", r=grid[0])
    sums = functional.avg_pool2d(maps, 3, stride=1, padding=1) * 9 - maps
    return functional.normalize(rearrange(sums, "b d r c -> b (r c) d"), dim=2)


def _similarity(patches: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return (patches * others).sum(dim=2)


def _standardise(values: torch.Tensor, valid_mask: torch.Tensor) -> torch.Tensor:
    """Standardise (B, P) to mean 0 and deviation 1 over the valid cells; 0 elsewhere."""
    count = valid_mask.sum(dim=1, keepdim=True)
    centred = (values - (values * valid_mask).sum(dim=1, keepdim=True) / count) * valid_mask
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return centred / deviation.clamp(min=EPSILON)
