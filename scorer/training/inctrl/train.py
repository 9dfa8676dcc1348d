"""From folders of images to InCTRL heads in the weights folder: the implementation of `andon train inctrl`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod

import torch

from scorer.backbones import clip_loader
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash, require_tag
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.inctrl.visual import make_card
from scorer.engines.devices import resolve_device, set_torch_threads, usable_cores
from scorer.evaluation.specs import load_backbone_setup
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.checkpoints import CHECKPOINTS_FOLDER, ReportStep, run_to_last_step
from scorer.training.images.dataset import BadTrainingData, TrainingClass
from scorer.training.inctrl.episodes import EncodedClass, EncodedSources, FrozenBackbone, encode_class_cached
from scorer.training.inctrl.frozen_backbones import FrozenClipBackbone, FrozenVisualBackbone
from scorer.training.inctrl.trainer import InctrlTrainer, InctrlTrainingConfig, initialise_heads

HELD_OUT_TAG_PREFIX = "held_out_"
"""Before a dataset's name, the tag of heads that were trained without it."""

MakeCard = Callable[[Mapping[str, torch.Tensor], str, Mapping[str, object]], WeightsCard]
"""Makes the card of weights from the tensors, the tag and notes on the training."""


@dataclass(frozen=True, slots=True)
class HeadsTarget:
    """A frozen backbone, and how heads trained on it are described."""

    backbone: FrozenBackbone
    device: torch.device
    make_card: MakeCard


def load_heads_target(settings: ScorerSettings, framing: Framing, backbone: str = "") -> HeadsTarget:
    """Load the backbone to train on.

    A CLIP is for heads of the detector `inctrl`, any other backbone for heads of `inctrl-visual`.

    Args:
        settings: The scorer's settings.
        framing: How images are framed.
        backbone: A backbone spec in place of ``scorer.backbone``.

    Raises:
        ModelUnavailable: The backbone's weights are missing.
    """
    settings = settings.model_copy(update={"backbone": backbone or settings.backbone})
    set_torch_threads(settings.torch_threads or usable_cores())
    device = resolve_device(settings.device)
    if settings.backbone.startswith(clip_loader.FAMILY):
        clip = clip_loader.load_clip(settings, device)
        untrained = initialise_heads(clip.towers.embedding_width, prod(clip.towers.grid), 0)
        model = InCtrlModel(clip.towers, untrained, contents=clip.stored.card.contents)
        return HeadsTarget(
            FrozenClipBackbone(model, framing),
            device,
            lambda tensors, tag, notes: _make_clip_card(clip.stored, tensors, tag, notes),
        )
    patch_backbone = load_backbone_setup(settings.backbone, framing, settings).backbone
    identity = patch_backbone.name, patch_backbone.weights_sha256
    return HeadsTarget(
        FrozenVisualBackbone(patch_backbone, framing),
        device,
        lambda tensors, tag, notes: make_card(tensors, tag, identity, patch_backbone.grid, notes),
    )


def encode_sources(
    target: HeadsTarget, classes: Sequence[TrainingClass], store: WeightsStore, report: Callable[[int], None]
) -> EncodedSources:
    """Encode every class, or read the encodings of an earlier run; `report` gets the number of classes done."""
    sources: dict[str, list[EncodedClass]] = {}
    for number, training_class in enumerate(classes, 1):
        encoded = encode_class_cached(target.backbone, training_class, store.path / CHECKPOINTS_FOLDER / "encoded")
        sources.setdefault(training_class.source, []).append(encoded)
        report(number)
    return sources


def train_heads(
    target: HeadsTarget,
    sources: EncodedSources,
    config: InctrlTrainingConfig,
    tag: str,
    store: WeightsStore,
    report: ReportStep,
) -> StoredWeights:
    """Train heads, resuming an interrupted run of this tag, and store them.

    Raises:
        InvalidWeights: `tag` is not a valid tag, or its checkpoint is of another training.
    """
    require_tag(tag)
    grid = target.backbone.grid
    heads = initialise_heads(target.backbone.width, prod(grid), config.seed)
    trainer = InctrlTrainer(heads, sources, config, grid, target.device)
    run_to_last_step(trainer, store.path / CHECKPOINTS_FOLDER / f"{tag}.checkpoint", report)
    tensors = trainer.weights()
    notes = {"config": asdict(config), "sources": {name: len(classes) for name, classes in sorted(sources.items())}}
    return store.put(target.make_card(tensors, tag, notes), tensors)


def leave_one_set_out(sources: EncodedSources, datasets: Sequence[str]) -> Iterator[tuple[str, EncodedSources]]:
    """Yield for each labelled dataset the tag of heads that are trained without it, and the other sources.

    Raises:
        BadTrainingData: Only one source was given.
    """
    if len(sources) < 2:
        raise BadTrainingData("Leaving one dataset out needs another to train on; name at least two.")
    for name in datasets:
        yield HELD_OUT_TAG_PREFIX + name, {other: classes for other, classes in sources.items() if other != name}


def _make_clip_card(
    towers: StoredWeights, tensors: Mapping[str, torch.Tensor], tag: str, notes: Mapping[str, object]
) -> WeightsCard:
    return WeightsCard(
        kind="inctrl-heads",
        model="inctrl",
        tag=tag,
        source="andon train inctrl",
        contents=content_hash(tensors),
        config={"training": dict(notes)},
        backbone=towers.card.name,
    )
