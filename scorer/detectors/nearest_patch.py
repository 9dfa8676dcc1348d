"""Nearest patch: how far each patch of a picture lies from the nearest patch of the normals.

The memory bank of PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), with
cosine distance, without coreset and re-weighting. Whether a patch may look for its neighbour everywhere or only near
its own place is decided by the station's own normals: each is scored against the others (leave one out). Layers are
added after each is divided by the normals' own level in it, so that none outweighs the others (docs/adr/0008).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch

from scorer import residuals
from scorer.backbones.protocol import PatchBackbone
from scorer.detectors.protocol import Picture, References, Scores
from scorer.errors import BadNormals
from scorer.framing import Framing

TOP_SHARE = 0.03
"""The image score is the mean of this share of the patches, the farthest ones."""

WINDOW_CELLS = 2
"""In a window a patch looks for its neighbour at most this many cells up, down, left and right of its own place."""

ALIGNED_RATIO = 1.25
"""Normals are aligned when the window raises the mean of their leave-one-out scores at most to this multiple."""

FAINTEST_LEVEL = 1e-4
"""Below this a layer's level is rounding: the normals are copies of each other."""

FEWEST_NORMALS, MOST_NORMALS = 2, 64
PICTURES_AT_ONCE = 8
NOWHERE = -2.0
"""Below every cosine: a patch in a bar of a letterbox is nobody's neighbour."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Unit-length patches of K normals, (layers, K, patches, width), which lie in the picture, (K, patches), and by
    what each layer's distances are multiplied, (layers,)."""

    patches: torch.Tensor
    looked_at: torch.Tensor
    shares: torch.Tensor


class NearestPatchDetector:
    """Nearest patch on any backbone with patch tokens; float32, a batch's scores equal the single ones."""

    def __init__(self, backbone: PatchBackbone, framing: Framing, name: str = "nearest-patch") -> None:
        self.name = name
        self._backbone = backbone
        self._framing = framing
        self.weights_sha256 = backbone.weights_sha256
        rules = [TOP_SHARE, WINDOW_CELLS, ALIGNED_RATIO, FAINTEST_LEVEL]
        configuration = [
            self.name,
            backbone.name,
            dict(backbone.configuration),
            backbone.weights_sha256,
            str(framing),
            rules,
        ]
        self.model_id = sha256(json.dumps(configuration).encode()).hexdigest()

    def references(self, normals: Sequence[Picture], object_name: str) -> References:
        """Keep the patches of 2 to 64 normals; raises `BadNormals` for another number. Without a text tower the
        object's name says nothing here."""
        if not FEWEST_NORMALS <= len(normals) <= MOST_NORMALS:
            raise BadNormals(
                f"Nearest patch compares with {FEWEST_NORMALS} to {MOST_NORMALS} normal images; this set has "
                f"{len(normals)}."
            )
        order = sorted(range(len(normals)), key=lambda place: sha256(normals[place].tobytes()).digest())
        sorted_normals = [normals[place] for place in order]
        tokens = self._tokens(sorted_normals)
        bank = Bank(tokens, self._looked_at(sorted_normals), torch.ones(len(tokens), device=tokens.device))
        bank = replace(bank, shares=self._shares(bank))
        free = self._left_out_scores(bank, window=None)
        near = self._left_out_scores(bank, window=WINDOW_CELLS)
        window = WINDOW_CELLS if near.mean() <= ALIGNED_RATIO * free.mean() else 0
        scores = dict(zip(order, (near if window else free).tolist(), strict=True))
        return References(
            model_id=self.model_id,
            tensors={
                "patches": bank.patches,
                "looked_at": bank.looked_at,
                "shares": bank.shares,
                "window": torch.tensor(window),
            },
            normal_scores=tuple(scores[place] for place in range(len(normals))),
        )

    def score(self, pictures: Sequence[Picture], references: References) -> Scores:
        """Score pictures of one station; the component beside the score itself is the farthest patch."""
        kept = references.tensors
        bank, window = Bank(kept["patches"], kept["looked_at"], kept["shares"]), int(kept["window"]) or None
        tokens, looked_at = self._tokens(pictures), self._looked_at(pictures)
        maps = torch.stack([self._map(tokens[:, place], bank, window) for place in range(len(pictures))])
        maps = maps.masked_fill(~looked_at, 0)
        image = torch.stack([_top_mean(values[seen]) for values, seen in zip(maps, looked_at, strict=True)])
        return Scores(
            image=image,
            maps=maps.view(-1, *self._backbone.grid),
            components={"farthest patch": maps.amax(dim=1)},
        )

    def _tokens(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """Unit-length tokens of framed pictures, (layers, pictures, patches, width)."""
        framed = [self._framing.frame(picture, self._backbone.size) for picture in pictures]
        parts = [
            self._backbone.tokens(
                torch.from_numpy(np.stack(framed[first : first + PICTURES_AT_ONCE])).permute(0, 3, 1, 2)
            )
            for first in range(0, len(framed), PICTURES_AT_ONCE)
        ]
        return residuals.unit(torch.cat(parts, dim=1))

    def _looked_at(self, pictures: Sequence[Picture]) -> torch.Tensor:
        cells = [self._framing.looked_at(picture, self._backbone.size, self._backbone.grid) for picture in pictures]
        return torch.from_numpy(np.stack(cells)).flatten(1).to(self._backbone.device)

    def _shares(self, bank: Bank) -> torch.Tensor:
        """The mean level of all layers by that of each, (layers,): 1 for a single layer."""
        if len(bank.patches) == 1:
            return bank.shares
        layers = (Bank(one[None], bank.looked_at, bank.shares[:1]) for one in bank.patches)
        levels = torch.stack([torch.cat(self._left_out(layer, window=None)).mean() for layer in layers])
        levels = levels.clamp(min=FAINTEST_LEVEL)
        return levels.mean() / levels

    def _left_out_scores(self, bank: Bank, window: int | None) -> torch.Tensor:
        """The score of each normal against all the others, (K,)."""
        return torch.stack([_top_mean(distances) for distances in self._left_out(bank, window)])

    def _left_out(self, bank: Bank, window: int | None) -> list[torch.Tensor]:
        """Distances of each normal's patches, those in the picture, to all the other normals."""
        found = []
        for place, seen in enumerate(bank.looked_at):
            others = torch.arange(len(bank.looked_at), device=bank.looked_at.device) != place
            rest = Bank(bank.patches[:, others], bank.looked_at[others], bank.shares)
            found.append(self._map(bank.patches[:, place], rest, window)[seen])
        return found

    def _map(self, tokens: torch.Tensor, bank: Bank, window: int | None) -> torch.Tensor:
        """Distance of each patch of one picture, (layers, patches, width), to its nearest in the bank: (patches,)."""
        distances = torch.zeros(tokens.shape[1], device=tokens.device)
        for mine, theirs, share in zip(tokens, bank.patches, bank.shares, strict=True):
            cosines = (mine @ theirs.flatten(0, 1).T).view(-1, *bank.looked_at.shape)  # (patches, normals, patches)
            cosines = cosines.masked_fill(~bank.looked_at, NOWHERE)
            nearest = cosines.amax(dim=(1, 2))
            if window is not None:
                near = cosines.amax(dim=1).masked_fill(~self._neighbours(window), NOWHERE).amax(dim=1)
                nearest = torch.where(near > NOWHERE, near, nearest)  # beside a bar there may be no neighbour
            distances += share * 0.5 * (1 - nearest.clamp(max=1))
        return distances / len(tokens)

    def _neighbours(self, window: int) -> torch.Tensor:
        """Which cells lie within a window around each cell, (patches, patches)."""
        rows, columns = self._backbone.grid
        row = torch.arange(rows * columns, device=self._backbone.device) // columns
        column = torch.arange(rows * columns, device=self._backbone.device) % columns
        close_rows = (row[:, None] - row[None, :]).abs() <= window
        return close_rows & ((column[:, None] - column[None, :]).abs() <= window)


def _top_mean(distances: torch.Tensor) -> torch.Tensor:
    """Mean of the farthest `TOP_SHARE` of the patches looked at, at least of one."""
    return distances.topk(max(1, round(len(distances) * TOP_SHARE))).values.mean()
