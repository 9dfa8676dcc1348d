"""InCTRL's learned parts, without its backbone: an adapter and two heads, named as in the official checkpoint."""

from dataclasses import dataclass

import torch
from torch import nn

UNUSED_TENSORS = frozenset(
    f"{head}.bn1.{tensor}"
    for head in ("diff_head", "diff_head_ref")
    for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
)
"""Tensors of the official checkpoint that its forward pass never reads."""


class Adapter(nn.Module):
    """A bottleneck without bias, ReLU after both layers, no skip connection: (…, E) to (…, E)."""

    def __init__(self, width: int, reduction: int = 4) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(width, width // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(width // reduction, width, bias=False),
            nn.ReLU(),
        )

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Adapt image embeddings, which come unnormalised."""
        adapted: torch.Tensor = self.fc(embeddings)
        return adapted


class Head(nn.Module):
    """Three linear layers, the first two followed by ReLU and batch normalisation: (B, N) to logits (B,)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection1 = nn.Linear(width, 128)
        self.bn2 = nn.BatchNorm1d(128)
        self.projection2 = nn.Linear(128, 64)
        self.bn3 = nn.BatchNorm1d(64)
        self.projection3 = nn.Linear(64, 1)

    def forward(self, residuals: torch.Tensor) -> torch.Tensor:
        """Return one logit per row, whose sigmoid is the score."""
        hidden = self.bn2(torch.relu(self.projection1(residuals)))
        hidden = self.bn3(torch.relu(self.projection2(hidden)))
        logits: torch.Tensor = self.projection3(hidden).squeeze(1)
        return logits


@dataclass(frozen=True, slots=True)
class HeadLogits:
    """Outputs of the two heads before their sigmoids, (B,) each: the training loss is taken of these."""

    image: torch.Tensor
    holistic: torch.Tensor


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Scores of B images by the heads, (B,) each, named after the paper."""

    score: torch.Tensor
    image_residual_score: torch.Tensor
    holistic_score: torch.Tensor
    max_patch_residual: torch.Tensor


class InCtrlHeads(nn.Module):
    """Adapter and image head over embeddings of `width` values, holistic head over a map of `patches` values.

    The arithmetic is InCTRL's whatever the backbone; `text_score` (B,) is None without a text tower.
    """

    def __init__(self, width: int, patches: int) -> None:
        super().__init__()
        self.adapter = Adapter(width)
        self.diff_head = Head(patches)
        self.diff_head_ref = Head(width)

    def logits(
        self,
        patch_map: torch.Tensor,
        embedding: torch.Tensor,
        adapted: torch.Tensor,
        text_score: torch.Tensor | None,
    ) -> HeadLogits:
        """Compare patch residual maps (B, P) and embeddings (B, E) with the mean adapted normal, (E,) or (B, E)."""
        image = self.diff_head_ref(adapted - self.adapter(embedding))
        added = torch.sigmoid(image) if text_score is None else torch.sigmoid(image) + text_score
        return HeadLogits(image, self.diff_head(patch_map + added[:, None]))

    def score(
        self,
        patch_map: torch.Tensor,
        embedding: torch.Tensor,
        adapted: torch.Tensor,
        text_score: torch.Tensor | None,
    ) -> HeadScores:
        """Return the paper's scores for the arguments of `logits`."""
        logits = self.logits(patch_map, embedding, adapted, text_score)
        holistic, largest = torch.sigmoid(logits.holistic), patch_map.amax(dim=1)
        return HeadScores((holistic + largest) / 2, torch.sigmoid(logits.image), holistic, largest)
