"""Training of InCTRL's adapter and heads on a frozen backbone (Zhu and Pang, CVPR 2024, section 3.4), faults mended.

Loss: focal loss of the holistic head plus that of the image residual head, on logits. Against the official code: a
query keeps its own prompts through a batch, is never its own prompt, and meets the sigmoid once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from foundation.atomic_files import replace_file
from scorer.detectors.inctrl.heads import HeadLogits, InCtrlHeads
from scorer.errors import InvalidWeights
from scorer.training.distillation_trainer import learning_rate_factor
from scorer.training.episodes import EncodedSources, EpisodeBatch, digest_sources, sample_episodes

StepCallback = Callable[[int], None]
"""Told how many steps are done."""


@dataclass(frozen=True, slots=True)
class InctrlTrainingConfig:
    """How to train; the heads are used with any number of normals, so each step draws one of `shots`.

    `flips`: half the maps are turned over left to right and half upside down, since a head over patch positions
    otherwise learns where the defects of its training sets lie.
    """

    steps: int = 400
    batch: int = 48
    shots: tuple[int, ...] = (2, 4, 8)
    rate: float = 1e-3
    decay: float = 1e-2
    warmup: float = 0.02
    gamma: float = 2.0
    flips: bool = True
    seed: int = 0
    checkpoint_every: int = 250


def focal_loss(logits: torch.Tensor, labels: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Mean of −(1 − p)^γ log p, p the chance given to what is true (Lin et al., ICCV 2017, arXiv 1708.02002)."""
    crossed = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return ((1 - torch.exp(-crossed)) ** gamma * crossed).mean()


def initialise_heads(width: int, patches: int, seed: int) -> InCtrlHeads:
    """Heads with the random weights of a seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return InCtrlHeads(width, patches)


def forward(heads: InCtrlHeads, batch: EpisodeBatch) -> HeadLogits:
    """Each query against its own prompts."""
    return heads.logits(batch.maps, batch.queries, heads.adapter(batch.prompts).mean(dim=1), batch.texts)


class InctrlTrainer:
    """Heads and optimiser at a step: all that a checkpoint holds. Equal recipe and sources give equal weights."""

    def __init__(
        self, heads: InCtrlHeads, recipe: InctrlTrainingConfig, grid: tuple[int, int], device: torch.device
    ) -> None:
        self.heads = heads.train().requires_grad_(True).to(device)
        self.recipe = recipe
        self.step = 0
        self._grid = grid
        self._device = device
        self._optimiser = torch.optim.AdamW(self.heads.parameters(), lr=recipe.rate, weight_decay=recipe.decay)

    def advance(self, sources: EncodedSources) -> float:
        """Draw a batch, learn from it; returns the loss before the step."""
        recipe = self.recipe
        draw = np.random.default_rng([recipe.seed, self.step])
        batch = sample_episodes(sources, recipe.batch, int(draw.choice(recipe.shots)), draw)
        if recipe.flips:
            batch = flip_maps(batch, self._grid, draw)
        for group in self._optimiser.param_groups:
            group["lr"] = recipe.rate * learning_rate_factor(self.step / recipe.steps, recipe.warmup)
        self.step += 1
        on_gpu = self._device.type == "cuda"
        batch = batch.to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=on_gpu):
            said = forward(self.heads, batch)
        loss = focal_loss(said.holistic.float(), batch.labels, recipe.gamma)
        loss = loss + focal_loss(said.image.float(), batch.labels, recipe.gamma)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.heads.parameters(), 1.0)
        self._optimiser.step()
        return float(loss.detach())

    def weights(self) -> dict[str, torch.Tensor]:
        """Of the heads, on the processor, in fp32."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.heads.state_dict().items()}

    def save(self, path: Path, learns_from: str) -> None:
        """Write a checkpoint whole or not at all; `learns_from` is the sources' digest."""
        held = {
            "about": checkpoint_identity(self.recipe, learns_from),
            "heads": self.heads.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
        }
        with replace_file(path) as temporary:
            torch.save(held, temporary)

    def resume(self, path: Path, learns_from: str) -> None:
        """Go on from a checkpoint of the same recipe and sources; raises `InvalidWeights` for another."""
        try:
            held: Mapping[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
            same = held["about"] == checkpoint_identity(self.recipe, learns_from)
        except Exception as error:  # a torn checkpoint can raise anything
            raise InvalidWeights(f"The checkpoint {path} can't be read; remove it to begin anew.") from error
        if not same:
            raise InvalidWeights(
                f"The checkpoint {path} is of a training with other options or pictures; remove it to begin anew, or "
                "give this training another tag."
            )
        self.heads.load_state_dict(held["heads"])
        self._optimiser.load_state_dict(held["optimiser"])
        self.step = int(held["step"])


def train(
    training: InctrlTrainer, sources: EncodedSources, checkpoint: Path, progress: StepCallback
) -> dict[str, torch.Tensor]:
    """Go on from the checkpoint, if there is one, to the recipe's last step; the checkpoint is removed at the end."""
    learns_from = digest_sources(sources)
    if checkpoint.is_file():
        training.resume(checkpoint, learns_from)
    while training.step < training.recipe.steps:
        training.advance(sources)
        progress(training.step)
        if training.step % training.recipe.checkpoint_every == 0:
            training.save(checkpoint, learns_from)
    checkpoint.unlink(missing_ok=True)
    return training.weights()


def flip_maps(batch: EpisodeBatch, grid: tuple[int, int], draw: np.random.Generator) -> EpisodeBatch:
    """Half the maps turned over left to right, half upside down."""
    rows = torch.arange(grid[0] * grid[1]).view(grid)
    orders: Sequence[torch.Tensor] = [rows, rows.flip(1), rows.flip(0), rows.flip(0, 1)]
    chosen = torch.stack([orders[int(draw.integers(4))].flatten() for _ in batch.labels])
    return EpisodeBatch(
        batch.maps.gather(1, chosen), batch.queries, batch.prompts, batch.texts, batch.labels, batch.chosen
    )


def checkpoint_identity(recipe: InctrlTrainingConfig, learns_from: str) -> str:
    """What a checkpoint belongs to."""
    return f"{sorted(asdict(recipe).items())} {learns_from}"
