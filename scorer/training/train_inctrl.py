"""From folders of pictures to InCTRL heads in the weights folder: what `andon train inctrl` does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path

import torch

from scorer.backbones import clip_loader
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash, require_tag
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.inctrl.visual import make_card
from scorer.engines.devices import resolve_device, usable_cores
from scorer.evaluation.specs import load_backbone_setup
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.backbones import FrozenClipBackbone, FrozenVisualBackbone
from scorer.training.dataset import BadTrainingData, DatasetLimits, TrainingClass, read_labelled_set, synthetic_classes
from scorer.training.episodes import EncodedClass, EncodedSources, FrozenBackbone, encode_class_cached
from scorer.training.inctrl_trainer import InctrlTrainer, InctrlTrainingConfig, StepCallback, initialise_heads, train

HELD_OUT_TAG_PREFIX = "held_out_"
"""Tag of heads that were trained without a set, followed by its name."""

CHECKPOINTS_FOLDER = ".training"
"""Where the weights folder keeps checkpoints and encoded pictures."""


@dataclass(frozen=True, slots=True)
class TrainingDataConfig:
    """What to learn from: labelled sets, and classes to be made of photographs."""

    data: Sequence[Path]
    photos: Path | None = None
    photo_classes: int = 200
    limits: DatasetLimits = field(default_factory=DatasetLimits)


@dataclass(frozen=True, slots=True)
class HeadsTarget:
    """A frozen backbone, and how heads trained on it are labelled."""

    sight: FrozenBackbone
    device: torch.device
    card: Callable[[Mapping[str, torch.Tensor], str, Mapping[str, object]], WeightsCard]


def student(settings: ScorerSettings, framing: Framing, backbone_word: str = "") -> HeadsTarget:
    """CLIP's towers where `scorer.backbone` names some, for `inctrl`; any other backbone for `inctrl-visual`.

    backbone_word: another than `scorer.backbone`, as `load_backbone_setup` reads it.
    """
    settings = settings.model_copy(update={"backbone": backbone_word or settings.backbone})
    torch.set_num_threads(settings.torch_threads or usable_cores())
    device = resolve_device(settings.device)
    if settings.backbone.startswith(clip_loader.FAMILY):
        clip = clip_loader.load_clip(settings, device)
        untrained = initialise_heads(clip.towers.embedding_width, prod(clip.towers.grid), 0)
        model = InCtrlModel(clip.towers, untrained, contents=clip.stored.card.contents)
        return HeadsTarget(FrozenClipBackbone(model, framing), device, lambda *said: _clip_card(clip.stored, *said))
    backbone = load_backbone_setup(settings.backbone, framing, settings).backbone
    known = backbone.name, backbone.weights_sha256
    return HeadsTarget(
        FrozenVisualBackbone(backbone, framing),
        device,
        lambda tensors, tag, notes: make_card(tensors, tag, known, backbone.grid, notes),
    )


def load_training_classes(asked: TrainingDataConfig, seed: int) -> list[TrainingClass]:
    """All classes to learn from; raises `BadTrainingData` where there are none, or two sets of one name."""
    names = [folder.resolve().name for folder in asked.data]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadTrainingData(f"Two folders are called {twice}; a set goes by its folder's name, so rename one.")
    found = [read_labelled_set(folder.resolve(), asked.limits, seed) for folder in asked.data]
    if asked.photos is not None:
        found += synthetic_classes(asked.photos, asked.photo_classes, seed)
    if not found:
        raise BadTrainingData("There is nothing to learn from; name a labelled set, photographs, or both.")
    return found


def encode_sources(
    student: HeadsTarget, found: Sequence[TrainingClass], folder: WeightsStore, progress: StepCallback
) -> EncodedSources:
    """Encode every class once, or read what an earlier run encoded; `progress` gets how many are done."""
    sources: dict[str, list[EncodedClass]] = {}
    for number, material in enumerate(found):
        gallery = encode_class_cached(student.sight, material, folder.path / CHECKPOINTS_FOLDER / "seen")
        sources.setdefault(material.source, []).append(gallery)
        progress(number + 1)
    return sources


def train_heads(
    student: HeadsTarget,
    sources: EncodedSources,
    recipe: InctrlTrainingConfig,
    tag: str,
    folder: WeightsStore,
    progress: StepCallback,
) -> StoredWeights:
    """Train, resuming from an unfinished run of this tag, and keep the heads in the weights folder.

    Raises `InvalidWeights` for a word that is no tag.
    """
    require_tag(tag)
    grid = student.sight.grid
    heads = initialise_heads(student.sight.width, prod(grid), recipe.seed)
    training = InctrlTrainer(heads, recipe, grid, student.device)
    tensors = train(training, sources, folder.path / CHECKPOINTS_FOLDER / f"{tag}.checkpoint", progress)
    notes = {"recipe": asdict(recipe), "sources": {name: len(classes) for name, classes in sorted(sources.items())}}
    return folder.keep(student.card(tensors, tag, notes), tensors)


def leave_one_set_out(sources: EncodedSources, sets: Sequence[str]) -> Iterator[tuple[str, EncodedSources]]:
    """For each labelled set the tag of heads that never saw it, and what they learn from."""
    if len(sources) < 2:
        raise BadTrainingData("To leave one set out there must be another to learn from; name at least two.")
    for name in sets:
        yield HELD_OUT_TAG_PREFIX + name, {other: classes for other, classes in sources.items() if other != name}


def _clip_card(
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
