"""A tiny CLIP and prompts trained on it, once per process."""

import pytest
import torch

from scorer.backbones.openclip import OpenClip
from scorer.imaging.framing import Framing
from scorer.training.coop.trainer import CoopTrainer, LabelledEmbeddings, embed_queries
from tests.scorer.backbones.tiny_clip import tiny_backbone
from tests.scorer.detectors.clip.coop_training import TRAINING_CONFIG, ignore_progress, train, training_class


@pytest.fixture(scope="session")
def towers() -> OpenClip:
    return tiny_backbone()


@pytest.fixture(scope="session")
def examples(towers: OpenClip) -> LabelledEmbeddings:
    return embed_queries(
        [training_class("bolt", 1), training_class("metal_nut", 5)], towers, Framing(), ignore_progress
    )


@pytest.fixture(scope="session")
def learned_context(
    towers: OpenClip, examples: LabelledEmbeddings, tmp_path_factory: pytest.TempPathFactory
) -> torch.Tensor:
    return train(
        CoopTrainer(towers, examples, TRAINING_CONFIG), tmp_path_factory.mktemp("coop") / "x.pt", ignore_progress
    )
