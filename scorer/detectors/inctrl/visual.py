"""InCTRL without its text score, on any backbone with patch tokens (Zhu and Pang, CVPR 2024, arXiv 2403.06495).

As published but for one part: a backbone without a text tower has no text score, so none is added to the map. The
global embedding, which CLIP has and a plain backbone lacks, is the mean over the cells of each layer's tokens at unit
length, layer by layer (docs/adr/0025). Adapter, heads and arithmetic are those of `scorer.detectors.inctrl.heads`.
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
from scorer.backbones.weights.checkpoints import load_into
from scorer.backbones.weights.store import WeightsCard, WeightsStore, content_hash, read_card
from scorer.detectors.inctrl.heads import HeadScores, InCtrlHeads
from scorer.detectors.patch_based.method import MethodConfig
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.score_tensors import ScoreTensors
from scorer.distances.coreset import DEFAULT_CORESET_PATCHES, greedy_coreset
from scorer.distances.cosine import nearest_residual, to_unit_length
from scorer.engines.devices import resolve_device
from scorer.errors import InvalidWeights, ModelUnavailable
from scorer.settings import ScorerSettings

HEADS_KIND: Final = "inctrl-visual-heads"
SHIPPED_HEADS = Path(__file__).with_name("inctrl_visual.safetensors")
SHIPPED_SHA256 = "48c6ee669b21b2e19eac7cf6ae02572aeb4fd50ac6b9e30c3a6e497923d76cef"


@dataclass(frozen=True, slots=True)
class TileFeatures:
    """N tiles, images or parts of images, that each have the heads' grid.

    Attributes:
        tokens: (L, N, P, D) at unit length.
        valid_mask: (N, P) bool.
        embedding: (N, L · D).
    """

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    embedding: torch.Tensor


def mean_embedding(tokens: torch.Tensor, valid_mask: torch.Tensor) -> torch.Tensor:
    """Return unit tokens (L, N, P, D) as one embedding per image, (N, L · D): their mean over the valid cells.

    Each layer is multiplied by the root of its width, so that a value is about 1 as it is in CLIP's embeddings.
    """
    valid = valid_mask[:, :, None].float()
    means = (tokens * valid).sum(dim=2) / valid.sum(dim=1).clamp(min=1)  # (L, N, D)
    embedding: torch.Tensor = rearrange(means * tokens.shape[-1] ** 0.5, "l n d -> n (l d)")
    return embedding


class InCtrlVisual:
    """Two heads and an adapter for one grid; a larger grid is scored tile by tile, and the worst tile counts.

    Above `max_patches` a layer's normal patches are reduced to a greedy coreset, never below those of two images.
    """

    name = "inctrl-visual"
    rotations = (0,)

    def __init__(
        self, heads: InCtrlHeads, grid: tuple[int, int], contents: str, max_patches: int = DEFAULT_CORESET_PATCHES
    ) -> None:
        """Take heads for a grid of rows and columns; `contents` is a hash of their values."""
        self.heads = heads.eval().requires_grad_(False)
        self._grid = grid
        self._width = heads.adapter.fc[0].in_features
        self._max_patches = max_patches
        self.configuration: MethodConfig = {"heads": contents, "max_patches": max_patches}

    def tile_features(self, images: Patches) -> TileFeatures:
        """Return tokens and embeddings of all tiles, image by image, in each row by row.

        Raises `InvalidWeights` where the heads fit neither the grid nor the width of the tokens.
        """
        layers, _, _, width = images.tokens.shape
        if images.grid[0] % self._grid[0] or images.grid[1] % self._grid[1] or layers * width != self._width:
            expected, found = ("×".join(map(str, grid)) for grid in (self._grid, images.grid))
            raise InvalidWeights(
                f"These InCTRL heads are for {expected} patches and embeddings of {self._width} values; the backbone "
                f"gives {found} and {layers * width}: train heads for it with andon train inctrl."
            )
        height, width_cells = self._grid
        rows = images.grid[0] // height
        tokens = rearrange(images.tokens, "l b (r h c w) d -> l (b r c) (h w) d", r=rows, h=height, w=width_cells)
        valid_mask = rearrange(images.valid_mask, "b (r h c w) -> (b r c) (h w)", r=rows, h=height, w=width_cells)
        tokens = to_unit_length(tokens)
        return TileFeatures(tokens, valid_mask, mean_embedding(tokens, valid_mask))

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """Store patches (L, M, D), the normal that each is of (L, M), and the adapted embeddings of all tiles."""
        normals = normals.unrotated()
        tiles, tiles_per_image = self.tile_features(normals), self._tiles_per_image(normals)
        indices = torch.arange(len(tiles.valid_mask), device=tiles.valid_mask.device) // tiles_per_image
        owners = indices[:, None].expand_as(tiles.valid_mask)[tiles.valid_mask].expand(len(tiles.tokens), -1)
        patches = tiles.tokens[:, tiles.valid_mask]  # (L, M, D)
        limit = max(self._max_patches, 2 * prod(normals.grid))
        if patches.shape[1] > limit:
            exact = self.tile_features(normals.in_fp32())
            chosen = torch.stack([greedy_coreset(layer, limit) for layer in exact.tokens[:, exact.valid_mask]])
            owners = owners.gather(1, chosen)
            patches = torch.stack([layer[positions] for layer, positions in zip(patches, chosen, strict=True)])
        return {
            "patches": patches.contiguous(),
            "owners": owners.contiguous(),
            "adapted": self._heads_for(tiles).adapter(tiles.embedding).view(normals.image_count, tiles_per_image, -1),
            "valid_tiles": tiles.valid_mask.any(dim=1).view(normals.image_count, tiles_per_image),
        }

    def score(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score images; the components are the paper's, those of the worst tile."""
        tiles = self.tile_features(queries)
        adapted = _mean_adapted(fitted["adapted"], fitted["valid_tiles"])
        return self._combine(queries, tiles, nearest_residual(tiles.tokens, fitted["patches"]), adapted)

    def leave_one_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Score each normal against the stored patches and the adapted embeddings of the others, (K,)."""
        scores = []
        normals = normals.unrotated()
        for position in range(normals.image_count):
            normal = normals.take([position])
            tiles = self.tile_features(normal)
            layers = zip(tiles.tokens, fitted["patches"], fitted["owners"], strict=True)
            maps = [
                nearest_residual(tokens[None], patches[owners != position][None]) for tokens, patches, owners in layers
            ]
            others = torch.arange(normals.image_count, device=normal.valid_mask.device) != position
            adapted = _mean_adapted(fitted["adapted"][others], fitted["valid_tiles"][others])
            scores.append(self._combine(normal, tiles, torch.stack(maps).mean(dim=0), adapted).image)
        return torch.cat(scores)

    def _tiles_per_image(self, images: Patches) -> int:
        return prod(images.grid) // prod(self._grid)

    def _heads_for(self, tiles: TileFeatures) -> InCtrlHeads:
        """Return the heads on the tiles' device."""
        return self.heads.to(tiles.tokens.device)

    def _combine(
        self, images: Patches, tiles: TileFeatures, patch_map: torch.Tensor, adapted: torch.Tensor
    ) -> ScoreTensors:
        """Combine residuals and embeddings to scores of B images.

        Args:
            images: The patches, for their grid.
            tiles: Their tiles, T of each image.
            patch_map: Residuals (B · T, P), of any value in padding.
            adapted: Mean adapted embedding of the normals for each tile, (T, L · D).
        """
        patch_map = patch_map.clamp(min=0).masked_fill(~tiles.valid_mask, 0)
        adapted_per_tile = adapted.repeat(images.image_count, 1)
        scores = self._heads_for(tiles).score(patch_map, tiles.embedding, adapted_per_tile, None)
        is_padding = ~tiles.valid_mask.any(dim=1)
        by_tile = scores.score.masked_fill(is_padding, -torch.inf).view(images.image_count, -1)
        worst = by_tile.argmax(dim=1, keepdim=True)  # (B, 1)
        height, width = self._grid
        rows, columns = images.grid[0] // height, images.grid[1] // width
        maps = rearrange(patch_map, "(b r c) (h w) -> b (r h c w)", r=rows, c=columns, h=height)
        return ScoreTensors(by_tile.gather(1, worst)[:, 0], maps, _components(scores, worst))


def _components(scores: HeadScores, worst: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the paper's scores of each image's worst tile, (B,) each."""
    named = {
        "image residual": scores.image_residual_score,
        "holistic": scores.holistic_score,
        "largest patch residual": scores.max_patch_residual,
    }
    return {name: values.view(len(worst), -1).gather(1, worst)[:, 0] for name, values in named.items()}


def _mean_adapted(adapted: torch.Tensor, valid_tiles: torch.Tensor) -> torch.Tensor:
    """Return the mean of the normals' adapted embeddings for each tile: (K, T, D), (K, T) to (T, D).

    A tile that is padding in every normal takes the mean of all tiles.
    """
    present = valid_tiles[:, :, None].float()
    mean = (adapted * present).sum(dim=(0, 1)) / present.sum()
    counts = present.sum(dim=0)
    return torch.where(counts > 0, (adapted * present).sum(dim=0) / counts.clamp(min=1), mean)


def read_heads(path: Path, backbone: str, max_patches: int = 4096, expected: str | None = None) -> InCtrlVisual:
    """Read heads from a file that `andon train inctrl` wrote.

    Args:
        path: The file.
        backbone: The backbone that they must have been trained on.
        max_patches: See `InCtrlVisual`.
        expected: The sha256 that the file must have; None for any.

    Raises:
        InvalidWeights: The file is missing, changed, of another kind, or of another backbone.
    """
    if not path.is_file():
        raise InvalidWeights(f"There are no InCTRL heads at {path}; train them with andon train inctrl.")
    content = path.read_bytes()
    if expected is not None and sha256(content).hexdigest() != expected:
        raise InvalidWeights(f"{path} was cut short or changed; install the package again.")
    card = read_card(path)
    if card is None or card.kind != HEADS_KIND:
        raise InvalidWeights(f"{path} holds no heads for a backbone without texts; train them with andon train inctrl.")
    if card.backbone != backbone:
        raise InvalidWeights(f"The heads in {path} belong to the backbone {card.backbone}, not to {backbone}.")
    if backbone == tiny.NAME and card.config.get("backbone_sha256") != tiny.SHA256:
        raise InvalidWeights(f"The heads in {path} were trained on other weights of {backbone}; train them again.")
    grid = card.config["grid"][0], card.config["grid"][1]
    heads = InCtrlHeads(int(card.config["width"]), prod(grid))
    tensors = tensors_in(content)
    load_into(heads, tensors, str(path))
    return InCtrlVisual(heads, grid, content_hash(tensors), max_patches)


def load(settings: ScorerSettings) -> InCtrlVisual:
    """Load the heads that ship for `andon-tiny`, or those of the tag `scorer.inctrl_heads` in the weights folder.

    Raises `ModelUnavailable` where none exist for the backbone.
    """
    if not settings.inctrl_heads and settings.backbone == tiny.NAME:
        method = read_heads(SHIPPED_HEADS, tiny.NAME, settings.coreset_patches, SHIPPED_SHA256)
    else:
        method = read_heads(_stored_path(settings), settings.backbone, settings.coreset_patches)
    method.heads.to(resolve_device(settings.device))
    return method


def _stored_path(settings: ScorerSettings) -> Path:
    store = WeightsStore(settings.weights_path)
    heads = [weights for weights in store.list_all() if weights.card.kind == HEADS_KIND]
    found = [weights for weights in heads if weights.card.backbone == settings.backbone]
    chosen = [weights for weights in found if settings.inctrl_heads in ("", weights.card.tag)]
    if len(chosen) == 1:
        store.tensors(chosen[0])
        return chosen[0].path
    names = ", ".join(weights.card.tag for weights in found) or "none"
    raise ModelUnavailable(
        f"{store.path} has not exactly one set of InCTRL heads {settings.inctrl_heads} for {settings.backbone} (it has "
        f"{names}); train them with andon train inctrl, or name one as scorer.inctrl_heads."
    )


def make_card(
    tensors: Mapping[str, torch.Tensor],
    tag: str,
    backbone: tuple[str, str | None],
    grid: Sequence[int],
    notes: Mapping[str, object],
) -> WeightsCard:
    """Describe a file of heads; `backbone` is its name and the sha256 of its weights, `notes` how they were trained."""
    width = tensors["adapter.fc.0.weight"].shape[1]
    config = {"grid": list(grid), "width": width, "backbone_sha256": backbone[1], "training": dict(notes)}
    return WeightsCard(
        HEADS_KIND, "inctrl-visual", tag, "andon train inctrl", content_hash(tensors), config, backbone=backbone[0]
    )
