"""Images to train CoOp's prompts on, and a short training."""

from collections.abc import Callable
from pathlib import Path

import torch

from imaging.rgb import RgbImage
from scorer.training.checkpoints import ReportStep, run_to_last_step
from scorer.training.coop.trainer import CoopTrainer, CoopTrainingConfig
from scorer.training.images.dataset import NO_ORIGIN, LabelledQuery, TrainingClass
from tests.scorer.backbones.tiny_clip import tiny_images

TRAINING_CONFIG = CoopTrainingConfig(context_tokens=4, steps=60, batch=16, rate=0.05, checkpoint_every=20)


def ignore_progress(*_: object) -> None:
    """Report nothing."""


def train(trainer: CoopTrainer, checkpoint: Path, report: ReportStep) -> torch.Tensor:
    run_to_last_step(trainer, checkpoint, report)
    return trainer.learned_context()


def loader(image: RgbImage) -> Callable[[], RgbImage]:
    return lambda: image


def training_class(noun: str, seed: int) -> TrainingClass:
    """Return a class of six dark, normal images and six light, anomalous ones."""
    dark, light = ([image // 4 + 190 * side for image in tiny_images(6, seed + side)] for side in (0, 1))
    queries = [
        LabelledQuery(loader(image), anomalous, NO_ORIGIN)
        for anomalous, images in ((False, dark), (True, light))
        for image in images
    ]
    return TrainingClass("made", noun, (noun, seed), [], queries)
