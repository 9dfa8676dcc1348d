"""InCTRL: in-context residual learning with few-shot sample prompts (Zhu and Pang, CVPR 2024, arXiv 2403.06495).

The official code (mala-lab/InCTRL, commit cc535d0) computes one query at a time; this computes any number at once.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from scorer.backbones.openclip import ImageFeatures, OpenClip
from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.distances.cosine import nearest_residual, to_unit_length
from scorer.errors import ModelUnavailable

PUBLISHED_BLOCKS = (7, 9, 11)
"""Blocks of ViT-B-16-plus-240, counted from 1, whose patch tokens are compared."""

TEXT_LOGIT_SCALE = 100
"""The factor of cosines before the softmax over texts, as published."""


def compared_blocks(depth: int) -> tuple[int, ...]:
    """Return the published blocks where the tower has them, else those at the same fractions of its depth.

    Raises `ModelUnavailable` for a tower of fewer than three blocks.
    """
    if depth >= PUBLISHED_BLOCKS[-1]:
        return PUBLISHED_BLOCKS
    if depth < len(PUBLISHED_BLOCKS):
        raise ModelUnavailable(f"InCTRL compares three blocks of an image tower; this one has {depth} in all.")
    third = max(3, round(depth * 11 / 12))
    second = max(2, min(third - 1, round(depth * 9 / 12)))
    return max(1, min(second - 1, round(depth * 7 / 12))), second, third


@dataclass(frozen=True, slots=True)
class NormalContext:
    """The references that queries are compared with.

    Attributes:
        patches: Patch tokens of the normals at unit length, (L, M, D).
        adapted: Mean of the adapted embeddings of the normals, (E,).
        texts: Mean text embeddings, normal and anomalous, at unit length, (2, E).
    """

    patches: torch.Tensor
    adapted: torch.Tensor
    texts: torch.Tensor


@dataclass(frozen=True, slots=True)
class InCtrlScores:
    """Everything that InCTRL computes of B images, named after the paper; each (B,) but the map, (B, P)."""

    score: torch.Tensor
    text_score: torch.Tensor
    image_residual_score: torch.Tensor
    patch_residual_map: torch.Tensor
    holistic_score: torch.Tensor
    max_patch_residual: torch.Tensor


class InCtrlModel:
    """A frozen CLIP, an adapter and two heads; the scores of a batch equal those of its images one by one.

    Args:
        backbone: CLIP's towers.
        heads: The adapter and the two heads.
        blocks: Blocks of the image tower whose tokens are compared, counted from 1; None for `compared_blocks`.
        contents: A hash of the values of all weights.
        heads_sha256: The sha256 of the heads' file, which names the towers that it belongs to.
    """

    def __init__(
        self,
        backbone: OpenClip,
        heads: InCtrlHeads,
        blocks: tuple[int, ...] | None = None,
        contents: str = "",
        heads_sha256: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.contents = contents
        self.heads_sha256 = heads_sha256
        self.heads = heads.eval().requires_grad_(False).to(backbone.device)
        self.blocks = compared_blocks(backbone.blocks) if blocks is None else blocks
        self._texts: dict[str, torch.Tensor] = {}

    def encode(self, pixels: torch.Tensor) -> ImageFeatures:
        """Encode images (B, 3, H, W), uint8 RGB at the tower's size; tokens (L, B, P, D) come at unit length."""
        features = self.backbone.encode_images(self.backbone.normalised(pixels), self.blocks)
        return ImageFeatures(to_unit_length(features.tokens), features.embedding)

    @torch.no_grad()
    def context(self, normals: ImageFeatures, noun: str) -> NormalContext:
        """Return the references of K encoded normals and the object's name."""
        patches = normals.tokens.flatten(1, 2)  # (L, K, P, D) to (L, K · P, D)
        return NormalContext(patches, self.heads.adapter(normals.embedding).mean(dim=0), self.texts(noun))

    @torch.no_grad()
    def score(self, queries: ImageFeatures, context: NormalContext) -> InCtrlScores:
        """Compare encoded queries with a context."""
        patch_map = nearest_residual(queries.tokens, context.patches)
        return self._combine(patch_map, queries.embedding, context.adapted, context.texts)

    @torch.no_grad()
    def score_normals(self, normals: ImageFeatures, patch_map: torch.Tensor, texts: torch.Tensor) -> InCtrlScores:
        """Score each of K normals against the others, whose residuals `patch_map` (K, P) already holds."""
        adapted = self.heads.adapter(normals.embedding)
        others = (adapted.sum(dim=0) - adapted) / (len(adapted) - 1)  # (K, E)
        return self._combine(patch_map, normals.embedding, others, texts)

    @torch.no_grad()
    def texts(self, noun: str) -> torch.Tensor:
        """Return the mean embeddings of the normal and of the anomalous prompts, at unit length: (2, E).

        Computed once per noun.
        """
        if noun not in self._texts:
            prompts = prompt_ensemble(noun)
            embedded = to_unit_length(self.backbone.encode_texts(prompts.normal + prompts.anomaly))
            normal, anomaly = embedded[: len(prompts.normal)], embedded[len(prompts.normal) :]
            self._texts[noun] = to_unit_length(torch.stack([normal.mean(dim=0), anomaly.mean(dim=0)]))
        return self._texts[noun]

    @torch.no_grad()
    def text_scores(self, embedding: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Return how much nearer embeddings (B, E) are to the anomalous prompts than to the normal ones: (B,), 0 to 1.

        The embeddings may have any length.
        """
        logits = TEXT_LOGIT_SCALE * to_unit_length(embedding) @ texts.T  # (B, 2)
        return functional.softmax(logits, dim=1)[:, 1]

    def _combine(
        self, patch_map: torch.Tensor, embedding: torch.Tensor, adapted: torch.Tensor, texts: torch.Tensor
    ) -> InCtrlScores:
        """Combine residual maps (B, P), image residuals and text scores to the scores of B images."""
        text_score = self.text_scores(embedding, texts)
        scores = self.heads.score(patch_map, embedding, adapted, text_score)
        return InCtrlScores(
            score=scores.score,
            text_score=text_score,
            image_residual_score=scores.image_residual_score,
            patch_residual_map=patch_map,
            holistic_score=scores.holistic_score,
            max_patch_residual=scores.max_patch_residual,
        )
