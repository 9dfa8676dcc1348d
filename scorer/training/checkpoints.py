"""Resumable training: checkpoints that belong to one configuration and data, and the loop to the last step."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from foundation.atomic_files import replace_file
from scorer.errors import InvalidWeights

CHECKPOINTS_FOLDER = ".training"
"""The folder inside the weights folder that holds checkpoints and encoded images."""

ReportStep = Callable[[int, float], None]
"""Called after each step with the number of steps done and the loss of the last."""


class StepTrainer(Protocol):
    """A model and its optimiser at a step."""

    @property
    def step(self) -> int:
        """How many steps are done."""

    @property
    def steps(self) -> int:
        """How many steps the training has."""

    @property
    def checkpoint_every(self) -> int:
        """How many steps lie between two checkpoints."""

    def advance(self) -> float:
        """Train one step; return the loss before it."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint."""


def run_to_last_step(trainer: StepTrainer, checkpoint: Path, report: ReportStep) -> None:
    """Train to the last step, from the checkpoint if it exists; the checkpoint is removed at the end.

    Raises:
        InvalidWeights: The checkpoint is of another training, or cannot be read.
    """
    if checkpoint.is_file():
        trainer.resume(checkpoint)
    while trainer.step < trainer.steps:
        loss = trainer.advance()
        report(trainer.step, loss)
        if trainer.step % trainer.checkpoint_every == 0:
            trainer.save(checkpoint)
    checkpoint.unlink(missing_ok=True)


def save_checkpoint(path: Path, identity: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; `identity` describes the configuration and data that it belongs to."""
    with replace_file(path) as temporary:
        torch.save({"identity": identity, **state}, temporary)


def load_checkpoint(path: Path, identity: str, device: torch.device) -> Mapping[str, Any]:
    """Read the state of a checkpoint onto a device.

    Raises:
        InvalidWeights: The checkpoint has another identity, or cannot be read.
    """
    try:
        state: Mapping[str, Any] = torch.load(path, map_location=device, weights_only=True)
        is_same = state["identity"] == identity
    except Exception as error:  # a torn checkpoint can raise anything
        raise InvalidWeights(f"The checkpoint {path} can't be read; remove it to start again.") from error
    if not is_same:
        raise InvalidWeights(
            f"The checkpoint {path} is of a training with other options or images; remove it to start again, or give "
            "this training another tag."
        )
    return state
