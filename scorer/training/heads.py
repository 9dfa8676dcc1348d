"""From folders of pictures to InCTRL heads in the weights folder: what `andon train inctrl` does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path

import torch

from scorer.backbones import kept_clip
from scorer.detectors.inctrl import InCtrl
from scorer.detectors.inctrl_visual import card_of
from scorer.devices import device_of, usable_cores
from scorer.framing import Framing
from scorer.measuring.candidates import load_ground
from scorer.settings import ScorerSettings
from scorer.training.episodes import Gallery, Sight, Sources, encode_once
from scorer.training.inctrl import Progress, Recipe, Training, new_heads, train
from scorer.training.material import BadTrainingData, Limits, Material, labelled, of_photos
from scorer.training.sights import ClipSight, VisualSight
from scorer.weights import Card, Kept, WeightsFolder, contents_of, require_tag

HELD_OUT = "held_out_"
"""Tag of heads that were trained without a set, followed by its name."""

UNFINISHED = ".training"
"""Where the weights folder keeps checkpoints and encoded pictures."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to learn from: labelled sets, and classes to be made of photographs."""

    data: Sequence[Path]
    photos: Path | None = None
    photo_classes: int = 200
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Student:
    """A frozen backbone, and how heads trained on it are labelled."""

    sight: Sight
    device: torch.device
    card: Callable[[Mapping[str, torch.Tensor], str, Mapping[str, object]], Card]


def student(settings: ScorerSettings, framing: Framing, backbone_word: str = "") -> Student:
    """CLIP's towers where `scorer.backbone` names some, for `inctrl`; any other backbone for `inctrl-visual`.

    backbone_word: another than `scorer.backbone`, as `load_ground` reads it.
    """
    settings = settings.model_copy(update={"backbone": backbone_word or settings.backbone})
    torch.set_num_threads(settings.torch_threads or usable_cores())
    device = device_of(settings.device)
    if settings.backbone.startswith(kept_clip.FAMILY):
        clip = kept_clip.load_clip(settings, device)
        untrained = new_heads(clip.towers.embedding_width, prod(clip.towers.grid), 0)
        model = InCtrl(clip.towers, untrained, contents=clip.kept.card.contents)
        return Student(ClipSight(model, framing), device, lambda *said: _clip_card(clip.kept, *said))
    backbone = load_ground(settings.backbone, framing, settings).backbone
    known = backbone.name, backbone.weights_sha256
    return Student(
        VisualSight(backbone, framing),
        device,
        lambda tensors, tag, notes: card_of(tensors, tag, known, backbone.grid, notes),
    )


def materials(asked: Asked, seed: int) -> list[Material]:
    """All classes to learn from; raises `BadTrainingData` where there are none, or two sets of one name."""
    names = [folder.resolve().name for folder in asked.data]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadTrainingData(f"Two folders are called {twice}; a set goes by its folder's name, so rename one.")
    found = [labelled(folder.resolve(), asked.limits, seed) for folder in asked.data]
    if asked.photos is not None:
        found += of_photos(asked.photos, asked.photo_classes, seed)
    if not found:
        raise BadTrainingData("There is nothing to learn from; name a labelled set, photographs, or both.")
    return found


def look_at(student: Student, found: Sequence[Material], folder: WeightsFolder, progress: Progress) -> Sources:
    """Encode every class once, or read what an earlier run encoded; `progress` gets how many are done."""
    sources: dict[str, list[Gallery]] = {}
    for number, material in enumerate(found):
        gallery = encode_once(student.sight, material, folder.path / UNFINISHED / "seen")
        sources.setdefault(material.source, []).append(gallery)
        progress(number + 1)
    return sources


def train_heads(
    student: Student, sources: Sources, recipe: Recipe, tag: str, folder: WeightsFolder, progress: Progress
) -> Kept:
    """Train, resuming from an unfinished run of this tag, and keep the heads in the weights folder.

    Raises `BadWeights` for a word that is no tag.
    """
    require_tag(tag)
    grid = student.sight.grid
    heads = new_heads(student.sight.width, prod(grid), recipe.seed)
    training = Training(heads, recipe, grid, student.device)
    tensors = train(training, sources, folder.path / UNFINISHED / f"{tag}.checkpoint", progress)
    notes = {"recipe": asdict(recipe), "sources": {name: len(classes) for name, classes in sorted(sources.items())}}
    return folder.keep(student.card(tensors, tag, notes), tensors)


def without_each(sources: Sources, sets: Sequence[str]) -> Iterator[tuple[str, Sources]]:
    """For each labelled set the tag of heads that never saw it, and what they learn from."""
    if len(sources) < 2:
        raise BadTrainingData("To leave one set out there must be another to learn from; name at least two.")
    for name in sets:
        yield HELD_OUT + name, {other: classes for other, classes in sources.items() if other != name}


def _clip_card(towers: Kept, tensors: Mapping[str, torch.Tensor], tag: str, notes: Mapping[str, object]) -> Card:
    return Card(
        kind="inctrl-heads",
        model="inctrl",
        tag=tag,
        source="andon train inctrl",
        contents=contents_of(tensors),
        config={"training": dict(notes)},
        backbone=towers.card.name,
    )
