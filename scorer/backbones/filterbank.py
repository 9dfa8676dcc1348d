"""A backbone without learned weights: oriented wavelets, twice, as in a scattering transform (Bruna and Mallat 2013).

The strength of each orientation at each scale, and how that strength itself varies in orientation and scale, are
averaged over every patch, with a few opponent-colour features. Nothing is trained and nothing is downloaded.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class FilterbankConfig:
    """Everything that decides a token's values, chosen on five real sets by `benchmarks.accuracy.__main__`.

    Wavelets are Gabor pairs of `kernel_px` with `wavelength_px`, under a Gaussian of `spread_px` that is longer along
    the stripes by 1 / `slenderness`. Scale s filters the image shrunk by 2**s.
    """

    side_px: int = 256
    patch_px: int = 16
    first_scales: int = 2
    last_scale: int = 4
    first_orientations: int = 8
    second_orientations: int = 4
    kernel_px: int = 9
    wavelength_px: float = 6.0
    spread_px: float = 1.6
    slenderness: float = 0.6
    colour_gain: float = 1.0


# Luma of ITU-R BT.601, then red against green and yellow against blue.
OPPONENT = ((0.299, 0.587, 0.114), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
EPSILON = 1e-8


class Filterbank:
    """Encodes framed images to patch tokens, float32; deterministic; a `PatchBackbone`."""

    name = "filterbank"
    weights_sha256: str | None = None

    def __init__(self, device: torch.device, bank: FilterbankConfig | None = None) -> None:
        self.device = device
        self.bank = bank or FilterbankConfig()
        self.size = (self.bank.side_px, self.bank.side_px)
        self.grid = (self.bank.side_px // self.bank.patch_px, self.bank.side_px // self.bank.patch_px)
        self._first = _gabor_pairs(self.bank, self.bank.first_orientations).to(device)
        self._second = _gabor_pairs(self.bank, self.bank.second_orientations).to(device)
        self._opponent = torch.tensor(OPPONENT, device=device)
        row = torch.tensor(BINOMIAL, device=device)
        self._blur = (row[:, None] * row[None, :])[None, None]

    @property
    def configuration(self) -> dict[str, float]:
        """All that its values depend on."""
        return asdict(self.bank)

    @torch.no_grad()
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode images (B, 3, H, W), uint8 RGB of `size`: (1 layer, B, P, D) float32, patches row by row."""
        planes = torch.einsum("kc,bchw->bkhw", self._opponent, pixels.to(self.device).float() / 255)
        texture = torch.cat([*self._textures(planes[:, :1])], dim=1)
        colour = self._colours(planes[:, 1:]) * self.bank.colour_gain**2
        responses = torch.cat([texture, colour], dim=1).flatten(2).transpose(1, 2)
        return responses.sqrt()[None]  # the root limits the effect of a few strong responses

    def _textures(self, luma: torch.Tensor) -> Iterator[torch.Tensor]:
        for first in range(self.bank.first_scales):
            strength = _strengths(luma, self._first)
            batch, orientations = strength.shape[:2]
            for _ in range(first + 1, self.bank.last_scale + 1):
                single = strength.reshape(batch * orientations, 1, *strength.shape[2:])
                varied = _strengths(single, self._second, stride=2 if strength.shape[2] > self.grid[0] else 1)
                yield self._averaged(varied).reshape(batch, -1, *self.grid)
                if strength.shape[2] > self.grid[0]:
                    strength = self._halved(strength)
            luma = self._halved(luma)

    def _colours(self, chroma: torch.Tensor) -> torch.Tensor:
        """Return positive and negative means of each opponent colour, and how it varies at a quarter of the size."""
        mean = self._averaged(chroma)
        quarter = self._halved(self._halved(chroma))
        single = quarter.reshape(-1, 1, *quarter.shape[2:])
        varied = self._averaged(_strengths(single, self._second)).reshape(len(chroma), -1, *self.grid)
        return torch.cat([mean.clamp(min=0), (-mean).clamp(min=0), varied / self.bank.colour_gain**2], dim=1)

    def _halved(self, planes: torch.Tensor) -> torch.Tensor:
        channels = planes.shape[1]
        padded = functional.pad(planes, (2, 2, 2, 2), mode="replicate")
        return functional.conv2d(padded, self._blur.expand(channels, 1, 5, 5), stride=2, groups=channels)

    def _averaged(self, planes: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(planes, planes.shape[-1] // self.grid[1])


def _strengths(plane: torch.Tensor, pairs: torch.Tensor, stride: int = 2) -> torch.Tensor:
    """Return the local strength of each wavelet pair: (N, 1, H, W) to (N, orientations, H / stride, W / stride)."""
    margin = pairs.shape[-1] // 2
    responses = functional.conv2d(functional.pad(plane, (margin,) * 4, mode="reflect"), pairs, stride=stride)
    even, odd = responses[:, 0::2], responses[:, 1::2]
    return (even * even + odd * odd + EPSILON).sqrt()


def _gabor_pairs(bank: FilterbankConfig, orientations: int) -> torch.Tensor:
    """Return even and odd wavelets in turn, zero on a flat image, of absolute sum 1: (2 · orientations, 1, k, k)."""
    reach = bank.kernel_px // 2
    y, x = torch.meshgrid(torch.arange(-reach, reach + 1.0), torch.arange(-reach, reach + 1.0), indexing="ij")
    kernels: list[torch.Tensor] = []
    for number in range(orientations):
        angle = math.pi * number / orientations
        across = x * math.cos(angle) + y * math.sin(angle)
        along = y * math.cos(angle) - x * math.sin(angle)
        hill = torch.exp(-(across**2 + (along * bank.slenderness) ** 2) / (2 * bank.spread_px**2))
        even = hill * torch.cos(2 * math.pi * across / bank.wavelength_px)
        even = even - hill * (even.sum() / hill.sum())
        odd = hill * torch.sin(2 * math.pi * across / bank.wavelength_px)
        kernels += [even / even.abs().sum(), odd / odd.abs().sum()]
    return torch.stack(kernels)[:, None]
