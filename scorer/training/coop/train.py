"""From labelled images to CoOp prompts in the weights folder: the implementation of `andon train coop`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from scorer.backbones.clip_loader import LoadedClip, load_clip, require_text_tower
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash, require_tag
from scorer.engines.devices import resolve_device, set_torch_threads, usable_cores
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.checkpoints import CHECKPOINTS_FOLDER, ReportStep, run_to_last_step
from scorer.training.coop.trainer import CoopTrainer, CoopTrainingConfig, LabelledEmbeddings, embed_queries
from scorer.training.images.dataset import TrainingClass


@dataclass(frozen=True, slots=True)
class CoopTrainingData:
    """A frozen CLIP, the embeddings of labelled images, and the names of their sources."""

    clip: LoadedClip
    embeddings: LabelledEmbeddings
    sources: tuple[str, ...]


def load_training_data(
    settings: ScorerSettings, framing: Framing, classes: Sequence[TrainingClass], report: Callable[[int], None]
) -> CoopTrainingData:
    """Embed all images with the CLIP that the settings name as backbone; `report` gets the number of images done.

    Raises:
        UnsupportedBackbone: The backbone has no text tower.
    """
    settings = settings.model_copy(update={"detector": "coop"})
    require_text_tower(settings)
    set_torch_threads(settings.torch_threads or usable_cores())
    clip = load_clip(settings, resolve_device(settings.device))
    sources = tuple(sorted({training_class.source for training_class in classes}))
    return CoopTrainingData(clip, embed_queries(classes, clip.towers, framing, report), sources)


def train_prompts(
    data: CoopTrainingData, config: CoopTrainingConfig, tag: str, store: WeightsStore, report: ReportStep
) -> StoredWeights:
    """Train prompts, resuming an interrupted run of this tag, and store them as ``coop:TAG``.

    Raises:
        InvalidWeights: `tag` is not a valid tag, or its checkpoint is of another training.
    """
    require_tag(tag)
    trainer = CoopTrainer(data.clip.towers, data.embeddings, config)
    run_to_last_step(trainer, store.path / CHECKPOINTS_FOLDER / f"coop.{tag}.checkpoint", report)
    return store_prompts(store, data.clip.stored, tag, trainer.learned_context(), data.sources)


def store_prompts(
    store: WeightsStore, towers: StoredWeights, tag: str, context: torch.Tensor, sources: Sequence[str]
) -> StoredWeights:
    """Store context vectors that were learned on these towers, as ``coop:TAG``."""
    tensors = {"context": context}
    source = ", ".join(sorted(set(sources))) or "images"
    card = WeightsCard("coop-prompts", "coop", tag, source, content_hash(tensors), backbone=towers.card.name)
    return store.put(card, tensors)
