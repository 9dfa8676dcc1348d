"""What InCTRL learns beside its frozen CLIP: an adapter and two heads, named as in the official checkpoint."""

import torch
from torch import nn

UNUSED = frozenset(
    f"{head}.bn1.{tensor}"
    for head in ("diff_head", "diff_head_ref")
    for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
)
"""Tensors of the official checkpoint that its forward pass never reads."""


class Adapter(nn.Module):
    """Bottleneck without bias, ReLU after both layers, no skip: (…, D) to (…, D)."""

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
    """Three linear layers, each of the first two followed by ReLU and batch normalisation: (B, N) to logits (B,)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection1 = nn.Linear(width, 128)
        self.bn2 = nn.BatchNorm1d(128)
        self.projection2 = nn.Linear(128, 64)
        self.bn3 = nn.BatchNorm1d(64)
        self.projection3 = nn.Linear(64, 1)

    def forward(self, residuals: torch.Tensor) -> torch.Tensor:
        """A logit per row; its sigmoid is the score."""
        hidden = self.bn2(torch.relu(self.projection1(residuals)))
        hidden = self.bn3(torch.relu(self.projection2(hidden)))
        logits: torch.Tensor = self.projection3(hidden).squeeze(1)
        return logits


class InCtrlHeads(nn.Module):
    """Adapter and image head over embeddings of `width`, holistic head over a map of `patches`."""

    def __init__(self, width: int, patches: int) -> None:
        super().__init__()
        self.adapter = Adapter(width)
        self.diff_head = Head(patches)
        self.diff_head_ref = Head(width)
