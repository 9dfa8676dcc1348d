"""InCTRL without its text score, on any backbone with patch tokens (Zhu and Pang, CVPR 2024, arXiv 2403.06495).

As published but for one part: a backbone without a text tower has no text score, so none is added to the map. The
global embedding, which CLIP has and a plain backbone has not, is the mean over the cells of each layer's tokens at unit
length, layer after layer (docs/adr/0025). Adapter, heads and arithmetic are `inctrl_heads`', shared with `inctrl`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Final

import torch
from einops import rearrange
from safetensors.torch import load as tensors_in

from scorer.backbones import tiny
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.store import WeightsCard, WeightsStore, content_hash, read_card
from scorer.detectors.inctrl.heads import HeadScores, InCtrlHeads
from scorer.detectors.patch_method import MethodConfig
from scorer.detectors.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances import cosine
from scorer.distances.coreset import greedy_coreset
from scorer.engines.devices import resolve_device
from scorer.errors import InvalidWeights, ModelUnavailable
from scorer.settings import ScorerSettings

HEADS_KIND: Final = "inctrl-visual-heads"
SHIPPED_HEADS = Path(__file__).with_name("inctrl_visual.safetensors")
SHIPPED_SHA256 = "48c6ee669b21b2e19eac7cf6ae02572aeb4fd50ac6b9e30c3a6e497923d76cef"


@dataclass(frozen=True, slots=True)
class TileFeatures:
    """N pictures or parts of pictures that each have the heads' grid.

    tokens: (L, N, P, W) of unit length. looked_at: (N, P). embedding: (N, L · W).
    """

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    embedding: torch.Tensor


def mean_embedding(tokens: torch.Tensor, valid_mask: torch.Tensor) -> torch.Tensor:
    """Unit tokens (L, N, P, W) as one embedding a picture, (N, L · W): the mean over the cells that are looked at.

    Each layer is drawn out by the root of its width, so that a value is about 1 as it is in CLIP's embeddings.
    """
    seen = valid_mask[:, :, None].float()
    means = (tokens * seen).sum(dim=2) / seen.sum(dim=1).clamp(min=1)
    embedding: torch.Tensor = rearrange(means * tokens.shape[-1] ** 0.5, "l n w -> n (l w)")
    return embedding


class InCtrlVisual:
    """The patch method: two heads and an adapter for one grid. A larger grid is judged tile by tile, the worst counts.

    Above `most_patches` a layer's normal patches are reduced to a greedy coreset, never below those of two pictures.
    """

    name = "inctrl-visual"
    rotations = (0,)

    def __init__(self, heads: InCtrlHeads, grid: tuple[int, int], contents: str, most_patches: int = 4096) -> None:
        self.heads = heads.eval().requires_grad_(False)
        self._grid = grid
        self._width = heads.adapter.fc[0].in_features
        self._most_patches = most_patches
        self.configuration: MethodConfig = {"heads": contents, "most_patches": most_patches}

    def look(self, pictures: Patches) -> TileFeatures:
        """Tokens and embeddings of all tiles, picture after picture, in each row by row."""
        layers, _, _, width = pictures.tokens.shape
        if pictures.grid[0] % self._grid[0] or pictures.grid[1] % self._grid[1] or layers * width != self._width:
            mine, its = ("×".join(map(str, grid)) for grid in (self._grid, pictures.grid))
            raise InvalidWeights(
                f"These InCTRL heads are for {mine} patches and embeddings of {self._width} values; the backbone gives "
                f"{its} and {layers * width}: train heads for it with andon train inctrl."
            )
        height, wide = self._grid
        rows = pictures.grid[0] // height
        tokens = rearrange(pictures.tokens, "l b (r h c w) d -> l (b r c) (h w) d", r=rows, h=height, w=wide)
        valid_mask = rearrange(pictures.valid_mask, "b (r h c w) -> (b r c) (h w)", r=rows, h=height, w=wide)
        tokens = cosine.to_unit_length(tokens)
        return TileFeatures(tokens, valid_mask, mean_embedding(tokens, valid_mask))

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Keep patches with the normal each is of, and each normal's adapted embedding, tile by tile."""
        normals = normals.unrotated()
        tiles, parts = self.look(normals), self._parts(normals)
        numbers = torch.arange(len(tiles.valid_mask), device=tiles.valid_mask.device) // parts
        owners = numbers[:, None].expand_as(tiles.valid_mask)[tiles.valid_mask].expand(len(tiles.tokens), -1)
        patches = tiles.tokens[:, tiles.valid_mask]  # (L, M, W)
        most = max(self._most_patches, 2 * prod(normals.grid))
        if patches.shape[1] > most:
            telling = self.look(normals.in_fp32())
            chosen = torch.stack([greedy_coreset(layer, most) for layer in telling.tokens[:, telling.valid_mask]])
            owners = owners.gather(1, chosen)
            patches = torch.stack([layer[places] for layer, places in zip(patches, chosen, strict=True)])
        return {
            "patches": patches.contiguous(),
            "owners": owners.contiguous(),
            "adapted": self._on(tiles).adapter(tiles.embedding).view(normals.image_count, parts, -1),
            "seen": tiles.valid_mask.any(dim=1).view(normals.image_count, parts),
        }

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """The components are the paper's, those of the tile that decides."""
        tiles = self.look(queries)
        adapted = _mean_adapted(fitted["adapted"], fitted["seen"])
        return self._judged(queries, tiles, cosine.nearest_residual(tiles.tokens, fitted["patches"]), adapted)

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Each normal against the kept patches and the adapted embeddings of the others."""
        scores = []
        originals = normals.unrotated()
        for place in range(originals.image_count):
            one = originals.take([place])
            tiles = self.look(one)
            layers = zip(tiles.tokens, fitted["patches"], fitted["owners"], strict=True)
            maps = [cosine.nearest_residual(mine[None], kept[owner != place][None]) for mine, kept, owner in layers]
            others = torch.arange(originals.image_count, device=one.valid_mask.device) != place
            adapted = _mean_adapted(fitted["adapted"][others], fitted["seen"][others])
            scores.append(self._judged(one, tiles, torch.stack(maps).mean(dim=0), adapted).image)
        return torch.cat(scores)

    def _parts(self, pictures: Patches) -> int:
        return prod(pictures.grid) // prod(self._grid)

    def _on(self, tiles: TileFeatures) -> InCtrlHeads:
        return self.heads.to(tiles.tokens.device)

    def _judged(
        self, pictures: Patches, tiles: TileFeatures, patch_map: torch.Tensor, adapted: torch.Tensor
    ) -> ScoreTensors:
        """patch_map: (B · tiles, P) with anything in the bars; adapted: (tiles, D)."""
        patch_map = patch_map.clamp(min=0).masked_fill(~tiles.valid_mask, 0)
        said = self._on(tiles).score(patch_map, tiles.embedding, adapted.repeat(pictures.image_count, 1), None)
        by_tile = said.score.masked_fill(~tiles.valid_mask.any(dim=1), -torch.inf).view(pictures.image_count, -1)
        worst = by_tile.argmax(dim=1, keepdim=True)
        height, wide = self._grid
        rows, columns = pictures.grid[0] // height, pictures.grid[1] // wide
        maps = rearrange(patch_map, "(b r c) (h w) -> b (r h c w)", r=rows, c=columns, h=height)
        return ScoreTensors(by_tile.gather(1, worst)[:, 0], maps, _components(said, worst))


def _components(said: HeadScores, worst: torch.Tensor) -> dict[str, torch.Tensor]:
    named = {
        "image residual": said.image_residual_score,
        "holistic": said.holistic_score,
        "largest patch residual": said.max_patch_residual,
    }
    return {name: values.view(len(worst), -1).gather(1, worst)[:, 0] for name, values in named.items()}


def _mean_adapted(adapted: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Mean of the normals' adapted embeddings by tile: (K, tiles, D), (K, tiles) to (tiles, D).

    A tile that lies in every normal's bars takes the mean of all tiles.
    """
    present = seen[:, :, None].float()
    whole = (adapted * present).sum(dim=(0, 1)) / present.sum()
    counts = present.sum(dim=0)
    return torch.where(counts > 0, (adapted * present).sum(dim=0) / counts.clamp(min=1), whole)


def read_heads(path: Path, backbone: str, most_patches: int = 4096, expected: str | None = None) -> InCtrlVisual:
    """Heads from a file that `andon train inctrl` wrote; raises `InvalidWeights` where it can't be used on `backbone`.

    `expected` is the sha256 the file must have.
    """
    if not path.is_file():
        raise InvalidWeights(f"There are no InCTRL heads at {path}; train some with andon train inctrl.")
    content = path.read_bytes()
    if expected is not None and sha256(content).hexdigest() != expected:
        raise InvalidWeights(f"{path} was cut short or changed; install the package again.")
    card = read_card(path)
    if card is None or card.kind != HEADS_KIND:
        raise InvalidWeights(f"{path} holds no heads for a backbone without texts; train some with andon train inctrl.")
    if card.backbone != backbone:
        raise InvalidWeights(f"The heads in {path} belong to the backbone {card.backbone}, not to {backbone}.")
    if backbone == tiny.NAME and card.config.get("backbone_sha256") != tiny.SHA256:
        raise InvalidWeights(f"The heads in {path} were trained on other weights of {backbone}; train them again.")
    grid = card.config["grid"][0], card.config["grid"][1]
    heads = InCtrlHeads(int(card.config["width"]), prod(grid))
    tensors = tensors_in(content)
    checkpoints.load_into(heads, tensors, str(path))
    return InCtrlVisual(heads, grid, content_hash(tensors), most_patches)


def load(settings: ScorerSettings) -> InCtrlVisual:
    """The heads that ship for `andon-tiny`, or those of the tag `scorer.inctrl_heads` in the weights folder."""
    if not settings.inctrl_heads and settings.backbone == tiny.NAME:
        method = read_heads(SHIPPED_HEADS, tiny.NAME, settings.coreset_patches, SHIPPED_SHA256)
    else:
        method = read_heads(_kept(settings), settings.backbone, settings.coreset_patches)
    method.heads.to(resolve_device(settings.device))
    return method


def _kept(settings: ScorerSettings) -> Path:
    folder = WeightsStore(settings.weights_path)
    found = [
        kept for kept in folder.listed() if kept.card.kind == HEADS_KIND and kept.card.backbone == settings.backbone
    ]
    chosen = [kept for kept in found if settings.inctrl_heads in ("", kept.card.tag)]
    if len(chosen) == 1:
        folder.tensors(chosen[0])
        return chosen[0].path
    names = ", ".join(kept.card.tag for kept in found) or "none"
    raise ModelUnavailable(
        f"{folder.path} has not one set of InCTRL heads {settings.inctrl_heads} for {settings.backbone} (it has "
        f"{names}); train some with andon train inctrl, or name one as scorer.inctrl_heads."
    )


def make_card(
    tensors: Mapping[str, torch.Tensor],
    tag: str,
    backbone: tuple[str, str | None],
    grid: Sequence[int],
    notes: Mapping[str, object],
) -> WeightsCard:
    """What a file of heads says of itself; `backbone` is its name and the sha256 of its weights."""
    width = tensors["adapter.fc.0.weight"].shape[1]
    config = {"grid": list(grid), "width": width, "backbone_sha256": backbone[1], "training": dict(notes)}
    return WeightsCard(
        HEADS_KIND, "inctrl-visual", tag, "andon train inctrl", content_hash(tensors), config, backbone=backbone[0]
    )
