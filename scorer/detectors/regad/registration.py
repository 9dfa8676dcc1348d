"""Registration: a small network looks at a picture's patches and says how to turn, scale and shift them into place.

It is the spatial transformer (Jaderberg et al., arXiv 1506.02025) of RegAD (`scorer.detectors.regad.detector`). So
that one set
of weights serves every backbone, it sees not the patches' channels but how alike patches are: to the picture's mean, to
the mean of its rim, and to their own neighbours.
"""

import math
from hashlib import sha256
from pathlib import Path

import torch
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from torch.nn import functional

from scorer.backbones.weights import checkpoints
from scorer.detectors.anomalydino import rim_cells
from scorer.detectors.patches import Patches
from scorer.distances.euclidean import concat_unit_layers
from scorer.errors import InvalidWeights

WEIGHTS = Path(__file__).with_name("registration.safetensors")
SHA256 = "4165841561f859f0d80a6c9f85eb955ca99d2e218489ffeeb8fac109318b17a6"

GRID_SIDE = 16
"""Likenesses of any grid are averaged or repeated to so many rows and columns."""

SIMILARITY_MAPS = 4
CONV_WIDTHS = (16, 32)
HIDDEN_WIDTH = 32

MAX_ROTATION = math.pi / 4
MAX_SCALE = 1.25
MAX_SHIFT = 0.25
"""How far the network may turn (radians), scale (up or down) and shift (share of half the picture)."""

MIN_COVERAGE = 0.5
"""A cell into which less than this of the picture is moved is not looked at."""

EPSILON = 1e-6


class RegistrationNetwork(nn.Module):
    """Likenesses (B, 4, 16, 16) to affine maps (B, 2, 3) in the convention of `affine_grid`; begins as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(SIMILARITY_MAPS, CONV_WIDTHS[0], 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(CONV_WIDTHS[0], CONV_WIDTHS[1], 3, stride=2, padding=1)
        self.hidden = nn.Linear(CONV_WIDTHS[1] * (GRID_SIDE // 4) ** 2, HIDDEN_WIDTH)
        self.last = nn.Linear(HIDDEN_WIDTH, 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, likenesses: torch.Tensor, aspect: float = 1.0) -> torch.Tensor:
        """aspect: rows by columns, so that a turn stays a turn on a grid that is not square."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(likenesses))))
        turn, scale, right, down = self.last(functional.relu(self.hidden(x.flatten(1)))).tanh().unbind(dim=1)
        factor = (scale * math.log(MAX_SCALE)).exp()
        cos, sin = factor * (turn * MAX_ROTATION).cos(), factor * (turn * MAX_ROTATION).sin()
        across = torch.stack([cos, -sin * aspect, right * MAX_SHIFT], dim=1)
        along = torch.stack([sin / aspect, cos, down * MAX_SHIFT], dim=1)
        return torch.stack([across, along], dim=1)


def similarity_maps(pictures: Patches) -> torch.Tensor:
    """What the network sees of pictures, (B, 4, 16, 16): three likenesses, even within a picture, and where it lies."""
    patches, valid_mask = concat_unit_layers(pictures.tokens), pictures.valid_mask
    to_mean = _alike(patches, _mean(patches, valid_mask)[:, None])
    to_rim = _alike(patches, _mean(patches, rim_cells(pictures))[:, None])
    to_neighbours = _alike(patches, _around(patches * valid_mask[:, :, None], pictures.grid))
    found = torch.stack(
        [_even(one, valid_mask) for one in (to_mean, to_rim, to_neighbours)] + [valid_mask.float()], dim=1
    )
    laid_out = rearrange(found, "b kind (r c) -> b kind r c", r=pictures.grid[0])
    return functional.adaptive_avg_pool2d(laid_out, GRID_SIDE)


def warp_patches(pictures: Patches, how: torch.Tensor) -> Patches:
    """Pictures whose patches are moved as affine maps (B, 2, 3) say; bars move too and stay out of it."""
    maps = rearrange(pictures.tokens, "l b (r c) w -> b (l w) r c", r=pictures.grid[0])
    sampled, share = warp_maps(maps, pictures.valid_mask.view(-1, 1, *pictures.grid), how)
    tokens = rearrange(sampled, "b (l w) r c -> l b (r c) w", l=len(pictures.tokens))
    return Patches(tokens, (share > MIN_COVERAGE).flatten(1), pictures.grid, pictures.copies)


def warp_maps(maps: torch.Tensor, inside: torch.Tensor, how: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps (B, C, rows, columns) where (B, 1, rows, columns) is True, moved; and how much of each cell is inside."""
    grid = functional.affine_grid(how, list(maps.shape), align_corners=False)
    kept = maps.masked_fill(~inside, 0)
    share = functional.grid_sample(inside.float(), grid, align_corners=False)
    return functional.grid_sample(kept, grid, align_corners=False) / share.clamp(min=EPSILON), share


def invert_affine(how: torch.Tensor) -> torch.Tensor:
    """The affine maps (B, 2, 3) that undo those."""
    straight = torch.linalg.inv(how[:, :, :2])
    return torch.cat([straight, -straight @ how[:, :, 2:]], dim=2)


def load_registration(path: Path = WEIGHTS, expected: str | None = SHA256) -> RegistrationNetwork:
    """The network with the weights that ship in this package; `expected` None takes a file of any sha256.

    Raises `InvalidWeights` for a file that is missing, cut short, changed or of another network.
    """
    if not path.is_file():
        raise InvalidWeights(f"RegAD's registration weights are not at {path}; install the package again.")
    content = path.read_bytes()
    found = sha256(content).hexdigest()
    if expected is not None and found != expected:
        raise InvalidWeights(
            f"{path} has sha256 {found[:12]}…, not {expected[:12]}…: it was cut short or changed; "
            "install the package again."
        )
    network = RegistrationNetwork()
    try:
        checkpoints.load_into(network, load(content), str(path))
    except SafetensorError as error:
        raise InvalidWeights(f"{path} is no whole safetensors file: {error}") from error
    return network.eval().requires_grad_(False)


def _mean(patches: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Of those of (B, P, D) that (B, P) names, at unit length: (B, D)."""
    return functional.normalize((patches * where[:, :, None]).sum(dim=1), dim=1)


def _around(patches: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The direction of the sum of each patch's eight neighbours: (B, P, D)."""
    maps = rearrange(patches, "b (r c) d -> b d r c", r=grid[0])
    sums = functional.avg_pool2d(maps, 3, stride=1, padding=1) * 9 - maps
    return functional.normalize(rearrange(sums, "b d r c -> b (r c) d"), dim=2)


def _alike(patches: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return (patches * others).sum(dim=2)


def _even(values: torch.Tensor, valid_mask: torch.Tensor) -> torch.Tensor:
    """(B, P) at mean 0 and deviation 1 over what is looked at, 0 elsewhere."""
    count = valid_mask.sum(dim=1, keepdim=True)
    centred = (values - (values * valid_mask).sum(dim=1, keepdim=True) / count) * valid_mask
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return centred / deviation.clamp(min=EPSILON)
