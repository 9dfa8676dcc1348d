"""Embeddings of an image's windows by CLIP's own image tower: only a window's tokens go through (WinCLIP, CVPR 2023).

A token enters the first block the same whatever its window, so patches are embedded once per image and the first
block's projections are too; of the last block only the class token is read, so only its query is computed there.
Windows that are not needed, those in a letterbox's padding, are skipped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import nn
from torch.nn import functional

from scorer.backbones.openclip import OpenClip
from scorer.errors import UnsupportedBackbone

WINDOW_TOKEN_BATCH = {"cpu": 960, "cuda": 1 << 15}
"""Tokens of windows that go through the blocks together, by device; few on a processor, so that they stay in cache."""


@dataclass(frozen=True, slots=True)
class WindowFeatures:
    """Embeddings of B images and of their windows, float32 and unnormalised.

    embedding: (B, D) of the whole image. patches: (B, P, W), last block's tokens after the last norm. windows: for
    each side length (B, windows, D), row by row, 0 for a skipped one.
    """

    embedding: torch.Tensor
    patches: torch.Tensor
    windows: tuple[torch.Tensor, ...]


def window_cells(grid: tuple[int, int], side: int) -> torch.Tensor:
    """Return the cells of every window of `side` × `side` cells, stride one, row by row: (windows, side²) indices."""
    numbers = torch.arange(grid[0] * grid[1]).view(grid)
    return rearrange(numbers.unfold(0, side, 1).unfold(1, side, 1), "rows columns h w -> (rows columns) (h w)")


class ClipWindows:
    """The image tower of a CLIP, for whole images and their windows; raises `UnsupportedBackbone` for another kind."""

    def __init__(self, towers: OpenClip, sides: Sequence[int]) -> None:
        model = towers.architecture.model
        visual: Any = towers.network.visual
        if not _is_clips_own(visual):
            raise UnsupportedBackbone(
                f"WinCLIP sends windows through CLIP's own image tower, which {model} doesn't have; choose another, "
                "such as openclip/ViT-B-16-plus-240."
            )
        if min(towers.grid) < max(sides):
            raise UnsupportedBackbone(
                f"WinCLIP looks at windows of {max(sides)} × {max(sides)} patches, and {model} has only "
                f"{towers.grid[0]} × {towers.grid[1]}; choose another, such as openclip/ViT-B-16-plus-240."
            )
        self.towers = towers
        self.cells = tuple(window_cells(towers.grid, side).to(towers.device) for side in sides)
        self._visual = visual
        self._blocks = visual.transformer.resblocks

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor, needed: Sequence[torch.Tensor]) -> WindowFeatures:
        """Encode images (B, 3, H, W), uint8 RGB at the tower's size; `needed`: windows of each side, (B, N) bool."""
        visual = self._visual
        block_input = visual._embeds(self.towers.normalised(pixels))  # (B, 1 + P, W)
        block_output = visual.transformer(block_input)
        qkv = _project_qkv(self._blocks[0], block_input)
        pairs = zip(self.cells, needed, strict=True)
        windows = tuple(self._windows(block_input, qkv, cells, chosen) for cells, chosen in pairs)
        return WindowFeatures(self._embedding(block_output[:, 0]), visual.ln_post(block_output[:, 1:]).float(), windows)

    def _windows(
        self, block_input: torch.Tensor, qkv: torch.Tensor, cells: torch.Tensor, needed: torch.Tensor
    ) -> torch.Tensor:
        """Embed needed windows, (B, N, E), from tokens and their first projections, (B, 1 + P, …)."""
        batch, tokens = block_input.shape[:2]
        of_class = torch.zeros(len(cells), 1, dtype=torch.long, device=cells.device)
        in_image = torch.cat([of_class, cells + 1], dim=1)  # (N, T): the class token, then the window's patches
        starts = torch.arange(batch, device=cells.device) * tokens
        token_indices = (starts[:, None, None] + in_image)[needed]  # (needed windows of all images, T)
        token_limit = WINDOW_TOKEN_BATCH.get(block_input.device.type, WINDOW_TOKEN_BATCH["cpu"])
        chunk = max(1, token_limit // token_indices.shape[1])
        parts = list(self._in_parts(block_input.flatten(0, 1), qkv.flatten(0, 1), torch.split(token_indices, chunk)))
        embedded = torch.zeros(*needed.shape, parts[0].shape[1], device=block_input.device)
        embedded[needed] = torch.cat(parts)
        return embedded

    def _in_parts(
        self, block_input: torch.Tensor, qkv: torch.Tensor, parts: Sequence[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        for token_indices in parts:
            states, window_qkv = block_input[token_indices], qkv[token_indices]
            for block, after in zip(self._blocks[:-1], self._blocks[1:], strict=True):
                states = _forward(block, states, window_qkv)
                window_qkv = _project_qkv(after, states)
            last = self._blocks[-1]
            yield self._embedding(_forward(last, states[:, :1], window_qkv)[:, 0])

    def _embedding(self, of_class: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self._visual.ln_post(of_class) @ self._visual.proj
        return embedded.float()


def _project_qkv(block: Any, states: torch.Tensor) -> torch.Tensor:
    """Return queries, keys and values side by side: (…, W) to (…, 3 W)."""
    return functional.linear(block.ln_1(states), block.attn.in_proj_weight, block.attn.in_proj_bias)


def _forward(block: Any, states: torch.Tensor, qkv: torch.Tensor) -> torch.Tensor:
    """Pass the first tokens of N windows through a block.

    states: (N, t, W); qkv: projections of all T ≥ t tokens, (N, T, 3 W).
    """
    heads = block.attn.num_heads
    query, key, value = rearrange(qkv, "n t (three h d) -> three n h t d", three=3, h=heads)
    mixed = functional.scaled_dot_product_attention(query[:, :, : states.shape[1]], key, value)
    states = states + block.ls_1(block.attn.out_proj(rearrange(mixed, "n h t d -> n t (h d)")))
    output: torch.Tensor = states + block.ls_2(block.mlp(block.ln_2(states)))
    return output


def _is_clips_own(visual: nn.Module) -> bool:
    """Return whether this is CLIP's image transformer with a class token, as in its paper."""
    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and visual.proj is not None
        and all(isinstance(block, ResidualAttentionBlock) for block in visual.transformer.resblocks)
    )
