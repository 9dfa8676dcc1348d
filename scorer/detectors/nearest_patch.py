"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from einops import rearrange

from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances import cosine
from scorer.distances.euclidean import used_channels
from scorer.distances.pooling import mean_of_largest, mean_of_largest_per_image
from scorer.distances.windowed import COSINE_OFFSET, GridPatches, nearest_in_window

TOP_FRACTION = 0.03
"""The image score is the mean of this share of the patches, the farthest ones."""

WINDOW_RADIUS = 2
"""In a window a patch looks for its neighbour at most this many cells up, down, left and right of its own place."""

ALIGNED_RATIO = 1.25
"""Normals are aligned when the window raises the mean of their leave-one-out scores at most to this multiple."""

MIN_LEVEL = 1e-4
"""Below this a layer's level is rounding: the normals are copies of each other."""

MIN_NORM = 1e-12
"""A patch shorter than that has no direction, and a cosine of 0 to all."""


@dataclass(frozen=True, slots=True)
class PatchBank:
    """Patches of K normals at unit length, for each layer (rows, K, columns, width), which of them lie in the picture,
    (rows, K, columns), where in the grid their first row and column are, and by what each layer's distances are
    multiplied, (layers,).

    By row of the grid, so that the few rows that a window reaches lie side by side in memory. Rows and columns that lie
    in no picture, a letterbox's bars, are left away.
    """

    layers: Sequence[torch.Tensor]
    valid_mask: torch.Tensor
    place: tuple[int, int]
    shares: torch.Tensor


class NearestPatch:
    """Nearest patch on any backbone with patch tokens."""

    name = "nearest-patch"
    rotations = (0,)

    def __init__(self) -> None:
        self.configuration: MethodConfig = {
            "top_share": TOP_FRACTION,
            "window_cells": WINDOW_RADIUS,
            "aligned_ratio": ALIGNED_RATIO,
            "faintest_level": MIN_LEVEL,
            "kept": "by row, without bars",
        }

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep all patches, and whether the normals are aligned; patches in bf16 where the network computes in it."""
        bank, window = _bank_of(normals.in_fp32()), 0
        if normals.image_count > 1:
            bank = replace(bank, shares=_shares(bank))
            free, near = (_left_out_scores(bank, cells).mean() for cells in (0, WINDOW_RADIUS))
            window = WINDOW_RADIUS if near <= ALIGNED_RATIO * free else 0
        precision = torch.float32 if normals.fp32_tokens is None else torch.bfloat16
        kept = {f"layer {number}": layer.to(precision).contiguous() for number, layer in enumerate(bank.layers)}
        kept |= {"valid_mask": bank.valid_mask, "place": torch.tensor(bank.place), "shares": bank.shares}
        return kept | {"window": torch.tensor(window)}

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """By the rule that all normals together decided on."""
        bank = _bank_of(normals)
        layers = [layer.to(fitted["layer 0"].dtype) for layer in bank.layers]
        return _left_out_scores(replace(bank, layers=layers, shares=fitted["shares"]), int(fitted["window"]))

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The component beside the score itself is the farthest patch."""
        return self.score_groups(queries, [(queries.image_count, fitted)])

    def score_groups(self, queries: Patches, runs: Sequence[tuple[int, Mapping[str, torch.Tensor]]]) -> ScoreTensors:
        """Pictures of several stations, so many of each, one station after another: all but the products at once."""
        maps, first = [], 0
        for (window, _, _), alike in groupby(((count, *_kept_bank(fitted)) for count, fitted in runs), _search):
            parts = [(count, bank) for count, bank, _ in alike]
            places = slice(first, first := first + sum(count for count, _ in parts))
            maps.append(_maps(queries.tokens[:, places], queries.valid_mask[places], queries.grid, parts, window))
        whole = maps[0] if len(maps) == 1 else torch.cat(maps)
        image = mean_of_largest_per_image(whole, queries.valid_mask, TOP_FRACTION)
        return ScoreTensors(image, whole, {"farthest patch": whole.amax(dim=1)})


def _kept_bank(fitted: Mapping[str, torch.Tensor]) -> tuple[PatchBank, int]:
    """With the window."""
    layers = [fitted[f"layer {number}"] for number in range(len(fitted["shares"]))]
    top, left = fitted["place"].tolist()
    return PatchBank(layers, fitted["valid_mask"], (top, left), fitted["shares"]), int(fitted["window"])


def _search(run: tuple[int, PatchBank, int]) -> tuple[int, torch.Size, tuple[int, int]]:
    """What pictures that are compared together have in common: the window, and the shape and place of the normals."""
    _, bank, window = run
    return window, bank.valid_mask.shape, bank.place


def _bank_of(normals: Patches) -> PatchBank:
    """Without bars, and with no more channels than a layer uses."""
    tokens, rows = cosine.to_unit_length(normals.tokens), normals.grid[0]
    by_row = rearrange(tokens, "l k (r c) w -> l r k c w", r=rows)
    valid_mask = rearrange(normals.valid_mask, "k (r c) -> r k c", r=rows)
    height, width = _in_use(valid_mask.any(dim=(1, 2))), _in_use(valid_mask.any(dim=(0, 1)))
    layers = [layer[height, :, width, :channels] for layer, channels in zip(by_row, used_channels(tokens), strict=True)]
    shares = torch.ones(len(tokens), device=tokens.device)
    return PatchBank(layers, valid_mask[height, :, width].contiguous(), (height.start, width.start), shares)


def _shares(bank: PatchBank) -> torch.Tensor:
    """The mean level of all layers by that of each, (layers,): 1 for a single layer."""
    if len(bank.layers) == 1:
        return bank.shares
    alone = [replace(bank, layers=[layer], shares=bank.shares[:1]) for layer in bank.layers]
    levels = torch.stack([torch.cat(_left_out(layer, 0)).mean() for layer in alone])
    levels = levels.clamp(min=MIN_LEVEL)
    return levels.mean() / levels


def _left_out_scores(bank: PatchBank, window: int) -> torch.Tensor:
    """The score of each normal against all the others, (K,)."""
    return torch.stack([mean_of_largest(distances, TOP_FRACTION) for distances in _left_out(bank, window)])


def _left_out(bank: PatchBank, window: int) -> list[torch.Tensor]:
    """Distances of each normal's patches, those in the picture, to all the other normals."""
    found = []
    rows, normals, columns = bank.valid_mask.shape
    for place in range(normals):
        others = torch.arange(normals, device=bank.valid_mask.device) != place
        rest = PatchBank([layer[:, others] for layer in bank.layers], bank.valid_mask[:, others], (0, 0), bank.shares)
        seen = bank.valid_mask[:, place].flatten()
        own = [layer[:, place].flatten(0, 1)[None] for layer in bank.layers]  # (1, patches, width) each
        found.append(_maps(own, seen[None], (rows, columns), [(1, rest)], window)[0, seen])
    return found


Part = tuple[int, PatchBank]
"""So many pictures, one after another, and what they are compared with."""


def _maps(
    tokens: Sequence[torch.Tensor] | torch.Tensor,
    seen: torch.Tensor,
    grid: tuple[int, int],
    parts: Sequence[Part],
    window: int,
) -> torch.Tensor:
    """Distance of each patch of B pictures, (B, patches, width) a layer, to its nearest in its bank: (B, patches).

    Tokens may be of any length, and wider than the bank. 0 where a patch is not `seen`, (B, patches): bars are not
    compared. window: at most so many cells away; 0 for anywhere. The banks have one shape and place.
    """
    hidden = _hidden([bank for _, bank in parts])
    shares = _shares_of(parts)
    distances = torch.zeros(seen.shape, device=seen.device)
    for number, mine in enumerate(tokens):
        kept = [
            (count, GridPatches(bank.layers[number], nothing, *bank.place))
            for (count, bank), nothing in zip(parts, hidden, strict=True)
        ]
        theirs = parts[0][1].layers[number]
        lengths = mine.norm(dim=-1, keepdim=True).clamp_(min=MIN_NORM)
        ours = (mine[..., : theirs.shape[-1]] / lengths).to(theirs.dtype)
        if window:
            pictures = rearrange(ours, "b (r c) w -> b r c w", r=grid[0])
            nearest = nearest_in_window(window, pictures, kept).flatten(1)
            alone = (nearest == -math.inf) & seen  # beside a bar there may be no neighbour: then one anywhere will do
            if alone.any():
                nearest = torch.where(alone, _anywhere(ours, alone, kept), nearest)
        else:
            nearest = _anywhere(ours, seen, kept)
        distances -= shares[number] * 0.5 * nearest.clamp(max=0)
    return distances.div_(len(tokens)).masked_fill_(~seen, 0)


def _hidden(banks: Sequence[PatchBank]) -> Sequence[torch.Tensor | None]:
    """Where nothing lies in each, as `Kept` has it."""
    valid_mask = torch.stack([bank.valid_mask for bank in banks])
    return [None] * len(banks) if valid_mask.all() else (~valid_mask).unbind()


def _shares_of(parts: Sequence[Part]) -> torch.Tensor:
    """What a layer's distances are multiplied by, for each picture, (layers, B, 1), or for all, (layers, 1, 1)."""
    of_pictures = [bank.shares for count, bank in parts for _ in range(count if len(parts) > 1 else 1)]
    return torch.stack(of_pictures, dim=1)[:, :, None]


def _anywhere(mine: torch.Tensor, seen: torch.Tensor, kept: Sequence[tuple[int, GridPatches]]) -> torch.Tensor:
    """The largest cosine, less one, of each patch of (B, patches, width) that is `seen` in its bank: (B, patches).

    Float32; −∞ where it is not seen.
    """
    nearest = torch.full(seen.shape, -math.inf, device=seen.device)
    less_one = mine.new_full((), COSINE_OFFSET)
    first = 0
    for count, bank in kept:
        places = slice(first, first := first + count)
        theirs = bank.patches.flatten(0, 2) if bank.hidden is None else bank.patches[~bank.hidden]
        at_once = max(1, cosine.MAX_COSINES // len(theirs))
        asked = torch.split(mine[places][seen[places]], at_once)
        found = [torch.addmm(less_one, some, theirs.T).amax(dim=1) for some in asked]
        nearest[places][seen[places]] = torch.cat(found).float()
    return nearest


def _in_use(places: torch.Tensor) -> slice:
    """From the first to the last of (N,) that is true; raises `ValueError` where none is."""
    found = places.nonzero().flatten().tolist()
    return slice(min(found), max(found) + 1)
