"""How `andon-tiny` learns: what counts as far from a teacher, and one step after another with a running average."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from foundation.atomic_files import replace_file
from scorer.backbones.tiny import TinyNetwork
from scorer.training.distillation_pool import DistillationBatch

_EVENNESS = 0.02
_INSIDE = 0.5


@dataclass(frozen=True, slots=True)
class DistillationTrainingConfig:
    """How to train. Times are minutes on the clock; `alone` is the share of them that only the branch learns.

    The fitted trunk is good from the start, the branch is random: learning alone on remembered trunk maps costs a
    fifth of learning together. `shards` are of 256 pictures.
    """

    minutes: float = 60.0
    alone: float = 0.6
    batch: int = 8
    branch_rate: float = 2e-3
    trunk_rate: float = 5e-4
    decay: float = 1e-4
    averaging: float = 0.99
    warmup: float = 0.02
    side: int = 256
    shards: int = 32
    seed: int = 0
    checkpoint_every: float = 3.0


def distillation_loss(said: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How far a map (B, D, h, w) is from the teacher's: direction, place in the batch's spread, place in its picture's.

    The last part makes the faint differences inside one even surface count as much as those of a busy picture:
    nearest-patch scoring lives on them.
    """
    direction = 1 - functional.cosine_similarity(said, wanted, dim=1).mean()
    error = (said - wanted).square().sum(1).mean()
    spread = (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().sum(1).mean()
    inside = wanted - wanted.mean((2, 3), keepdim=True)
    missed = (said - said.mean((2, 3), keepdim=True) - inside).square().sum(1).mean((1, 2))
    own = inside.square().sum(1).mean((1, 2))
    return direction + error / spread + _INSIDE * (missed / (own + _EVENNESS * spread)).mean()


def learning_rate_factor(time_share: float, warmup: float) -> float:
    """The part of the learning rate in force when this share of the time is over: a short rise, then half a cosine."""
    if time_share < warmup:
        return max(time_share / warmup, 0.01)
    onward = min(1.0, (time_share - warmup) / (1 - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * onward))


class DistillationTrainer:
    """The student, its running average and the optimiser: all of what a checkpoint holds."""

    def __init__(self, network: TinyNetwork, recipe: DistillationTrainingConfig) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.step = 0
        self.seconds = 0.0
        self.averaged = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        trunk = [tensor for name, tensor in network.named_parameters() if not name.startswith("branch.")]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": network.branch.parameters(), "full_rate": recipe.branch_rate},
                {"params": trunk, "full_rate": recipe.trunk_rate},
            ],
            weight_decay=recipe.decay,
        )
        self._remembered: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def time_share(self) -> float:
        """The share of the recipe's minutes that is over."""
        return self.seconds / 60 / self.recipe.minutes

    def advance(self, batch: DistillationBatch) -> dict[str, float]:
        """One step; returns the loss and each learning output's mean cosine to its teacher, before the step."""
        share = learning_rate_factor(self.time_share, self.recipe.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = group["full_rate"] * share
        together = self.time_share >= self.recipe.alone
        if together:
            self._remembered.clear()
            first, second = self.network(batch.pictures.contiguous(memory_format=torch.channels_last))
            loss = distillation_loss(first, batch.resnet) + distillation_loss(second, batch.mobilenet)
        else:
            second = self.network.branch(*self._trunk_maps(batch))
            loss = distillation_loss(second, batch.mobilenet)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self._average()
        with torch.no_grad():
            said = {"loss": float(loss), "mobilenet": _cosine(second, batch.mobilenet)}
            return {**said, "resnet": _cosine(first, batch.resnet)} if together else said

    def _trunk_maps(self, batch: DistillationBatch) -> tuple[torch.Tensor, torch.Tensor]:
        fresh = [row for row, place in enumerate(batch.places) if place not in self._remembered]
        if fresh:
            with torch.no_grad():
                fine, coarse = self.network.trunk(batch.pictures[fresh].contiguous(memory_format=torch.channels_last))
            for position, row in enumerate(fresh):
                self._remembered[batch.places[row]] = (fine[position].half(), coarse[position].half())
        kept = [self._remembered[place] for place in batch.places]
        stacked = [torch.stack([pair[part] for pair in kept]).float() for part in range(2)]
        return stacked[0], stacked[1]

    def _average(self) -> None:
        self.step += 1
        keep = min(self.recipe.averaging, self.step / (self.step + 10))
        for name, tensor in self.network.state_dict().items():
            self.averaged[name].lerp_(tensor, 1 - keep)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        held: dict[str, Any] = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "averaged": self.averaged,
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with replace_file(path) as temporary:
            torch.save(held, temporary)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint; the recipe stays the one given now."""
        held: Mapping[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(held["network"])
        self.averaged = held["averaged"]
        self._optimiser.load_state_dict(held["optimiser"])
        self.step, self.seconds = held["step"], held["seconds"]


def _cosine(said: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(functional.cosine_similarity(said, wanted, dim=1).mean())
