"""Distillation of `andon-tiny`: the loss against a teacher, and the trainer with its running average of weights."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from foundation.atomic_files import replace_file
from scorer.backbones.tiny import TinyNetwork
from scorer.training.distillation.pool import DistillationBatch
from scorer.training.schedule import learning_rate_factor

_EPSILON = 0.02
_WITHIN_IMAGE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class DistillationTrainingConfig:
    """The hyperparameters of a training.

    The pruned trunk is good from the start, and the branch is random. A step of the branch alone, on cached trunk
    maps, costs a fifth of a step of the whole network.

    Attributes:
        minutes: Wall-clock minutes of training, over all runs together.
        branch_only: The fraction of the minutes that trains the branch alone, from the start.
        batch: Images per batch.
        branch_rate: The full learning rate of the branch.
        trunk_rate: The full learning rate of the trunk.
        decay: Weight decay.
        averaging: The decay of the running average of weights.
        warmup: The fraction of the minutes in which the learning rate rises.
        side: The side of the images, in pixels.
        shards: How many shards of 256 images the pool gets.
        seed: The seed of weights, images and batches.
        checkpoint_minutes: Minutes between two checkpoints.
    """

    minutes: float = 60.0
    branch_only: float = 0.6
    batch: int = 8
    branch_rate: float = 2e-3
    trunk_rate: float = 5e-4
    decay: float = 1e-4
    averaging: float = 0.99
    warmup: float = 0.02
    side: int = 256
    shards: int = 32
    seed: int = 0
    checkpoint_minutes: float = 3.0


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return how far a feature map (B, D, h, w) is from the teacher's.

    It sums the cosine distance, the squared error relative to the variance of the batch, and the squared error of the
    deviation from the image's mean relative to its own variance. The last term makes small differences within a uniform
    surface count as much as those within a textured image, because nearest-patch scoring depends on them.
    """
    cosine_distance = 1 - functional.cosine_similarity(student, teacher, dim=1).mean()
    error = (student - teacher).square().sum(1).mean()
    variance = (teacher - teacher.mean((0, 2, 3), keepdim=True)).square().sum(1).mean()
    deviation = teacher - teacher.mean((2, 3), keepdim=True)
    student_deviation = student - student.mean((2, 3), keepdim=True)
    deviation_error = (student_deviation - deviation).square().sum(1).mean((1, 2))
    image_variance = deviation.square().sum(1).mean((1, 2))
    within_image = (deviation_error / (image_variance + _EPSILON * variance)).mean()
    return cosine_distance + error / variance + _WITHIN_IMAGE_WEIGHT * within_image


class DistillationTrainer:
    """The student, the running average of its weights, and the optimiser: the content of a checkpoint."""

    def __init__(self, network: TinyNetwork, config: DistillationTrainingConfig) -> None:
        """Prepare to train `network`."""
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.step = 0
        self.seconds = 0.0
        self.averaged = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        trunk = [tensor for name, tensor in network.named_parameters() if not name.startswith("branch.")]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": network.branch.parameters(), "full_rate": config.branch_rate},
                {"params": trunk, "full_rate": config.trunk_rate},
            ],
            weight_decay=config.decay,
        )
        self._trunk_cache: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def progress(self) -> float:
        """The fraction of the configured minutes that is over."""
        return self.seconds / 60 / self.config.minutes

    def advance(self, batch: DistillationBatch) -> dict[str, float]:
        """Train on one batch; return the loss and each trained output's mean cosine to its teacher, before the step."""
        factor = learning_rate_factor(self.progress, self.config.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor
        trains_trunk = self.progress >= self.config.branch_only
        if trains_trunk:
            self._trunk_cache.clear()
            first, second = self.network(batch.images.contiguous(memory_format=torch.channels_last))
            loss = distillation_loss(first, batch.resnet) + distillation_loss(second, batch.mobilenet)
        else:
            second = self.network.branch(*self._trunk_maps(batch))
            loss = distillation_loss(second, batch.mobilenet)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self._update_average()
        with torch.no_grad():
            report = {"loss": float(loss), "mobilenet": _mean_cosine(second, batch.mobilenet)}
            return {**report, "resnet": _mean_cosine(first, batch.resnet)} if trains_trunk else report

    def _trunk_maps(self, batch: DistillationBatch) -> tuple[torch.Tensor, torch.Tensor]:
        missing = [row for row, key in enumerate(batch.keys) if key not in self._trunk_cache]
        if missing:
            with torch.no_grad():
                images = batch.images[missing].contiguous(memory_format=torch.channels_last)
                fine, coarse = self.network.trunk(images)
            for index, row in enumerate(missing):
                self._trunk_cache[batch.keys[row]] = (fine[index].half(), coarse[index].half())
        cached = [self._trunk_cache[key] for key in batch.keys]
        stacked = [torch.stack([maps[level] for maps in cached]).float() for level in range(2)]
        return stacked[0], stacked[1]

    def _update_average(self) -> None:
        self.step += 1
        decay = min(self.config.averaging, self.step / (self.step + 10))
        for name, tensor in self.network.state_dict().items():
            self.averaged[name].lerp_(tensor, 1 - decay)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "averaged": self.averaged,
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with replace_file(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint; the configuration stays the present one."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged = state["averaged"]
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def _mean_cosine(student: torch.Tensor, teacher: torch.Tensor) -> float:
    return float(functional.cosine_similarity(student, teacher, dim=1).mean())
