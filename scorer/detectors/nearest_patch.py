"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from scorer import residuals
from scorer.detectors.patches import Configuration, Judgement, Patches, top_mean

TOP_SHARE = 0.03
"""The image score is the mean of this share of the patches, the farthest ones."""

WINDOW_CELLS = 2
"""In a window a patch looks for its neighbour at most this many cells up, down, left and right of its own place."""

ALIGNED_RATIO = 1.25
"""Normals are aligned when the window raises the mean of their leave-one-out scores at most to this multiple."""

FAINTEST_LEVEL = 1e-4
"""Below this a layer's level is rounding: the normals are copies of each other."""

NOWHERE = -2.0
"""Below every cosine: a patch in a bar of a letterbox is nobody's neighbour."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Unit-length patches of K normals, (layers, K, patches, width), which lie in the picture, (K, patches), and by
    what each layer's distances are multiplied, (layers,)."""

    patches: torch.Tensor
    looked_at: torch.Tensor
    shares: torch.Tensor


class NearestPatch:
    """Nearest patch on any backbone with patch tokens."""

    name = "nearest-patch"
    turns = (0,)

    def __init__(self) -> None:
        self.configuration: Configuration = {
            "top_share": TOP_SHARE,
            "window_cells": WINDOW_CELLS,
            "aligned_ratio": ALIGNED_RATIO,
            "faintest_level": FAINTEST_LEVEL,
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep all patches, and whether the normals are aligned."""
        tokens = residuals.unit(normals.tokens)
        bank = Bank(tokens, normals.looked_at, torch.ones(len(tokens), device=tokens.device))
        kept = {"patches": tokens, "looked_at": bank.looked_at, "shares": bank.shares, "window": torch.tensor(0)}
        if normals.pictures < 2:
            return kept
        bank = replace(bank, shares=_shares(bank))
        free = _left_out_scores(bank, None)
        near = _left_out_scores(bank, _neighbours(normals.grid, WINDOW_CELLS, tokens.device))
        window = WINDOW_CELLS if near.mean() <= ALIGNED_RATIO * free.mean() else 0
        return kept | {"shares": bank.shares, "window": torch.tensor(window)}

    def left_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """By the rule that all normals together decided on."""
        return _left_out_scores(_bank(fitted), _window(fitted, normals.grid))

    def judge(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> Judgement:
        """The component beside the score itself is the farthest patch."""
        bank, window = _bank(fitted), _window(fitted, queries.grid)
        tokens = residuals.unit(queries.tokens)
        maps = torch.stack([_map(tokens[:, place], bank, window) for place in range(queries.pictures)])
        maps = maps.masked_fill(~queries.looked_at, 0)
        pairs = zip(maps, queries.looked_at, strict=True)
        image = torch.stack([top_mean(values[seen], TOP_SHARE) for values, seen in pairs])
        return Judgement(image, maps, {"farthest patch": maps.amax(dim=1)})


def _bank(fitted: Mapping[str, torch.Tensor]) -> Bank:
    return Bank(fitted["patches"], fitted["looked_at"], fitted["shares"])


def _window(fitted: Mapping[str, torch.Tensor], grid: tuple[int, int]) -> torch.Tensor | None:
    cells = int(fitted["window"])
    return _neighbours(grid, cells, fitted["patches"].device) if cells else None


def _shares(bank: Bank) -> torch.Tensor:
    """The mean level of all layers by that of each, (layers,): 1 for a single layer."""
    if len(bank.patches) == 1:
        return bank.shares
    layers = (Bank(one[None], bank.looked_at, bank.shares[:1]) for one in bank.patches)
    levels = torch.stack([torch.cat(_left_out(layer, None)).mean() for layer in layers])
    levels = levels.clamp(min=FAINTEST_LEVEL)
    return levels.mean() / levels


def _left_out_scores(bank: Bank, near: torch.Tensor | None) -> torch.Tensor:
    """The score of each normal against all the others, (K,)."""
    return torch.stack([top_mean(distances, TOP_SHARE) for distances in _left_out(bank, near)])


def _left_out(bank: Bank, near: torch.Tensor | None) -> list[torch.Tensor]:
    """Distances of each normal's patches, those in the picture, to all the other normals."""
    found = []
    for place, seen in enumerate(bank.looked_at):
        others = torch.arange(len(bank.looked_at), device=bank.looked_at.device) != place
        rest = Bank(bank.patches[:, others], bank.looked_at[others], bank.shares)
        found.append(_map(bank.patches[:, place], rest, near)[seen])
    return found


def _map(tokens: torch.Tensor, bank: Bank, near: torch.Tensor | None) -> torch.Tensor:
    """Distance of each patch of one picture, (layers, patches, width), to its nearest in the bank: (patches,).

    near: (patches, patches), which cells a patch may look at; None for all.
    """
    distances = torch.zeros(tokens.shape[1], device=tokens.device)
    for mine, theirs, share in zip(tokens, bank.patches, bank.shares, strict=True):
        cosines = (mine @ theirs.flatten(0, 1).T).view(-1, *bank.looked_at.shape)  # (patches, normals, patches)
        cosines = cosines.masked_fill(~bank.looked_at, NOWHERE)
        nearest = cosines.amax(dim=(1, 2))
        if near is not None:
            beside = cosines.amax(dim=1).masked_fill(~near, NOWHERE).amax(dim=1)
            nearest = torch.where(beside > NOWHERE, beside, nearest)  # beside a bar there may be no neighbour
        distances += share * 0.5 * (1 - nearest.clamp(max=1))
    return distances / len(tokens)


def _neighbours(grid: tuple[int, int], window: int, device: torch.device) -> torch.Tensor:
    """Which cells lie within a window around each cell, (patches, patches)."""
    rows, columns = grid
    row = torch.arange(rows * columns, device=device) // columns
    column = torch.arange(rows * columns, device=device) % columns
    close_rows = (row[:, None] - row[None, :]).abs() <= window
    return close_rows & ((column[:, None] - column[None, :]).abs() <= window)
