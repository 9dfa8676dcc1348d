"""Training of InCTRL's adapter and heads on a frozen backbone (Zhu and Pang, CVPR 2024, section 3.4).

The loss is the focal loss of the holistic head plus that of the image residual head, on logits. Unlike the official
code, a query keeps its own prompts within a batch, is never its own prompt, and the sigmoid is applied once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from scorer.detectors.inctrl.heads import HeadLogits, InCtrlHeads
from scorer.training.checkpoints import load_checkpoint, save_checkpoint
from scorer.training.inctrl.episodes import EncodedSources, EpisodeBatch, digest_sources, sample_episodes
from scorer.training.schedule import learning_rate_factor


@dataclass(frozen=True, slots=True)
class InctrlTrainingConfig:
    """The hyperparameters of a training.

    Attributes:
        steps: Batches to train on.
        batch: Episodes per batch.
        shots: Numbers of prompts; each step draws one of them, since the heads are used with any number of normals.
        rate: The full learning rate of AdamW.
        decay: Weight decay.
        warmup: The fraction of the steps in which the learning rate rises.
        gamma: The exponent of the focal loss.
        flips: Whether maps are flipped at random, left to right and upside down. A head over patch positions would
            otherwise learn where the defects of its training sets are.
        seed: The seed of weights and batches.
        checkpoint_every: Steps between two checkpoints.
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
    """Return the mean of −(1 − p)^γ log p, p being the probability of the true label (Lin et al., arXiv 1708.02002)."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return ((1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy).mean()


def initialise_heads(width: int, patches: int, seed: int) -> InCtrlHeads:
    """Return heads with random weights of a seed, without changing torch's global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return InCtrlHeads(width, patches)


def predict(heads: InCtrlHeads, batch: EpisodeBatch) -> HeadLogits:
    """Return the logits of each query against its own prompts."""
    return heads.logits(batch.maps, batch.queries, heads.adapter(batch.prompts).mean(dim=1), batch.texts)


class InctrlTrainer:
    """Heads and optimiser at a step; equal configuration and sources give equal weights."""

    def __init__(
        self,
        heads: InCtrlHeads,
        sources: EncodedSources,
        config: InctrlTrainingConfig,
        grid: tuple[int, int],
        device: torch.device,
    ) -> None:
        """Prepare to train `heads` on `device`; `grid` is the rows and columns of the residual maps."""
        self.heads = heads.train().requires_grad_(True).to(device)
        self.config = config
        self.step = 0
        self._sources = sources
        self._identity = f"{sorted(asdict(config).items())} {digest_sources(sources)}"
        self._grid = grid
        self._device = device
        self._optimiser = torch.optim.AdamW(self.heads.parameters(), lr=config.rate, weight_decay=config.decay)

    @property
    def steps(self) -> int:
        """As `StepTrainer`."""
        return self.config.steps

    @property
    def checkpoint_every(self) -> int:
        """As `StepTrainer`."""
        return self.config.checkpoint_every

    def advance(self) -> float:
        """Train on one batch; return the loss before the step."""
        config = self.config
        generator = np.random.default_rng([config.seed, self.step])
        batch = sample_episodes(self._sources, config.batch, int(generator.choice(config.shots)), generator)
        if config.flips:
            batch = flip_maps(batch, self._grid, generator)
        for group in self._optimiser.param_groups:
            group["lr"] = config.rate * learning_rate_factor(self.step / config.steps, config.warmup)
        self.step += 1
        batch = batch.to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = predict(self.heads, batch)
        loss = focal_loss(logits.holistic.float(), batch.labels, config.gamma)
        loss = loss + focal_loss(logits.image.float(), batch.labels, config.gamma)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.heads.parameters(), 1.0)
        self._optimiser.step()
        return float(loss.detach())

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the heads' weights, on the CPU, in fp32."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.heads.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        state = {"heads": self.heads.state_dict(), "optimiser": self._optimiser.state_dict(), "step": self.step}
        save_checkpoint(path, self._identity, state)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration and sources.

        Raises:
            InvalidWeights: The checkpoint is of another training, or cannot be read.
        """
        state = load_checkpoint(path, self._identity, self._device)
        self.heads.load_state_dict(state["heads"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])


def flip_maps(batch: EpisodeBatch, grid: tuple[int, int], generator: np.random.Generator) -> EpisodeBatch:
    """Return a batch with half its maps flipped left to right, and half upside down, independently."""
    indices = torch.arange(grid[0] * grid[1]).view(grid)
    orders: Sequence[torch.Tensor] = [indices, indices.flip(1), indices.flip(0), indices.flip(0, 1)]
    chosen = torch.stack([orders[int(generator.integers(4))].flatten() for _ in batch.labels])
    return EpisodeBatch(
        batch.maps.gather(1, chosen), batch.queries, batch.prompts, batch.texts, batch.labels, batch.episodes
    )
