"""How CoOp's words are learned: a frozen CLIP, labelled pictures embedded once, and the few vectors that move."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from foundation.atomic_files import replace_file
from scorer.backbones.clip_loader import LoadedClip, load_clip, require_text_tower
from scorer.backbones.image_resize import frame_image
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash, require_tag
from scorer.detectors.clip.coop import CLASS_TEMPLATES, LearnablePrompts, logits
from scorer.distances.cosine import to_unit_length
from scorer.engines.devices import resolve_device, usable_cores
from scorer.errors import InvalidWeights
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.dataset import BadTrainingData, TrainingClass
from scorer.training.distillation_trainer import learning_rate_factor

StepLossCallback = Callable[[int, float], None]
"""Steps done so far, and the loss of the last."""

CHECKPOINTS_FOLDER = ".training"
"""Where the weights folder keeps checkpoints."""

INITIAL_STD = 0.02
"""Deviation of the words before they are learned, as published."""


@dataclass(frozen=True, slots=True)
class CoopTrainingConfig:
    """How to learn; words, rate, momentum, decay and batch are the paper's.

    `words` are learned for both classes together, or for each its own where `class_specific`. A batch is half normal,
    half anomalous. `warmup` is a share of the steps.
    """

    words: int = 16
    class_specific: bool = False
    steps: int = 1000
    batch: int = 32
    rate: float = 2e-3
    momentum: float = 0.9
    decay: float = 5e-4
    warmup: float = 0.02
    seed: int = 0
    checkpoint_every: int = 100


@dataclass(frozen=True, slots=True)
class LabelledEmbeddings:
    """N labelled pictures: embeddings of unit length (N, D), what each shows, whether it is anomalous, (N,) bool."""

    embedding: torch.Tensor
    nouns: tuple[str, ...]
    anomalous: torch.Tensor

    @property
    def digest(self) -> str:
        """Of all of it: a training goes on only from a checkpoint that learned from the same."""
        digest = sha256("\n".join(self.nouns).encode())
        digest.update(self.embedding.cpu().float().numpy().tobytes())
        digest.update(self.anomalous.cpu().numpy().tobytes())
        return digest.hexdigest()


def embed_queries(
    materials: Iterable[TrainingClass], towers: OpenClip, framing: Framing, progress: Callable[[int], None]
) -> LabelledEmbeddings:
    """Embed each query of the materials once; `progress` gets how many pictures are done."""
    embedded: list[torch.Tensor] = []
    nouns: list[str] = []
    anomalous: list[bool] = []
    for material in materials:
        for query in material.queries:
            framed = frame_image(framing, query.read(), towers.image_size)
            pixels = torch.from_numpy(framed[None]).permute(0, 3, 1, 2)  # (1, 3, H, W)
            embedded.append(to_unit_length(towers.embed_images(towers.normalised(pixels))))
            nouns.append(material.noun)
            anomalous.append(query.anomalous)
            progress(len(nouns))
    if not embedded:
        raise BadTrainingData("There is no picture to learn CoOp's prompts from; name a labelled set.")
    return LabelledEmbeddings(torch.cat(embedded), tuple(nouns), torch.tensor(anomalous))


@dataclass(frozen=True, slots=True)
class CoopTrainingData:
    """A frozen CLIP, pictures as it sees them, and the sets they are of."""

    clip: LoadedClip
    examples: LabelledEmbeddings
    sources: tuple[str, ...]


class CoopTrainer:
    """The words and the optimiser at a step: all that a checkpoint holds. Equal recipe and examples, equal words.

    Raises `BadTrainingData` where a class is missing or the text tower can't read so many words.
    """

    def __init__(self, towers: OpenClip, examples: LabelledEmbeddings, recipe: CoopTrainingConfig) -> None:
        self._sides = [torch.nonzero(examples.anomalous.cpu() == side)[:, 0].numpy() for side in (False, True)]
        for side, kind in zip(self._sides, ("normal", "anomalous"), strict=True):
            if not len(side):
                raise BadTrainingData(f"CoOp learns from normal and from anomalous pictures; there is no {kind} one.")
        text: Mapping[str, Any] = towers.architecture.config["text_cfg"]
        if not 1 <= recipe.words <= int(text.get("context_length", 77)) // 2:
            raise BadTrainingData(
                f"{towers.architecture.model} reads {text.get('context_length', 77)} words, of which CoOp may learn "
                f"1 to {int(text.get('context_length', 77)) // 2}, not {recipe.words}."
            )
        self.recipe = recipe
        self.step = 0
        self._examples = examples
        nouns = sorted(set(examples.nouns))
        places = {noun: place for place, noun in enumerate(nouns)}
        self._noun_of = np.array([places[noun] for noun in examples.nouns])
        self._prompts = LearnablePrompts(towers, nouns, recipe.words)
        self._device = towers.device
        shape = (len(CLASS_TEMPLATES) if recipe.class_specific else 1, recipe.words, int(text["width"]))
        seeded = torch.Generator().manual_seed(recipe.seed)
        self.context = (INITIAL_STD * torch.randn(shape, generator=seeded)).to(towers.device).requires_grad_()
        self._optimiser = torch.optim.SGD(
            [self.context], lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.decay
        )

    def advance(self) -> float:
        """Draw a batch, learn from it; returns the loss before the step."""
        recipe = self.recipe
        draw = np.random.default_rng([recipe.seed, self.step])
        half = max(1, recipe.batch // 2)
        rows = np.concatenate([side[draw.integers(len(side), size=half)] for side in self._sides])
        for group in self._optimiser.param_groups:
            group["lr"] = recipe.rate * learning_rate_factor(self.step / recipe.steps, recipe.warmup)
        self.step += 1
        loss = self._loss(rows)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def loss(self) -> float:
        """The mean loss over all examples, as the words are now."""
        return float(self._loss(np.arange(len(self._noun_of))))

    def _loss(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> torch.Tensor:
        """Cross-entropy of examples against the two prompts about what each shows."""
        asked, of_row = np.unique(self._noun_of[rows], return_inverse=True)
        texts = self._prompts.texts(self.context, asked.tolist())
        chosen = torch.from_numpy(rows)
        said = logits(self._examples.embedding[chosen.to(self._examples.embedding.device)], texts[of_row])
        return functional.cross_entropy(said, self._examples.anomalous[chosen].long().to(said.device))

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        held = {
            "about": self._about(),
            "context": self.context.detach(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
        }
        with replace_file(path) as temporary:
            torch.save(held, temporary)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe and examples; raises `InvalidWeights` for another or a torn
        one."""
        try:
            held: Mapping[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
            same = held["about"] == self._about()
        except Exception as error:  # a torn checkpoint can raise anything
            raise InvalidWeights(f"The checkpoint {path} can't be read; remove it to begin anew.") from error
        if not same:
            raise InvalidWeights(
                f"The checkpoint {path} is of a training with other options or pictures; remove it to begin anew, or "
                "give this training another tag."
            )
        with torch.no_grad():
            self.context.copy_(held["context"])
        self._optimiser.load_state_dict(held["optimiser"])
        self.step = int(held["step"])

    def _about(self) -> str:
        return f"{asdict(self.recipe)} {self._examples.digest}"


def load_training_data(
    settings: ScorerSettings, framing: Framing, materials: Sequence[TrainingClass], progress: Callable[[int], None]
) -> CoopTrainingData:
    """Embed all pictures with the CLIP that the settings name as backbone; `progress` gets how many are done.

    Raises `UnsupportedBackbone` for a backbone without a text tower.
    """
    settings = settings.model_copy(update={"detector": "coop"})
    require_text_tower(settings)
    torch.set_num_threads(settings.torch_threads or usable_cores())
    clip = load_clip(settings, resolve_device(settings.device))
    sources = tuple(sorted({material.source for material in materials}))
    return CoopTrainingData(clip, embed_queries(materials, clip.towers, framing, progress), sources)


def train_prompts(
    seen: CoopTrainingData, recipe: CoopTrainingConfig, tag: str, folder: WeightsStore, progress: StepLossCallback
) -> StoredWeights:
    """Learn prompts, resuming from an unfinished run of this tag, and keep them in the weights folder as ``coop:TAG``.

    Raises `InvalidWeights` for a word that is no tag.
    """
    require_tag(tag)
    training = CoopTrainer(seen.clip.towers, seen.examples, recipe)
    context = train(training, folder.path / CHECKPOINTS_FOLDER / f"coop.{tag}.checkpoint", progress)
    return keep(folder, seen.clip.stored, tag, context, seen.sources)


def train(training: CoopTrainer, checkpoint: Path, progress: StepLossCallback) -> torch.Tensor:
    """Go on from the checkpoint, if there is one, to the recipe's last step; it is removed at the end.

    Returns the learned words, (1 or 2 classes, words, width), on the processor.
    """
    if checkpoint.is_file():
        training.resume(checkpoint)
    while training.step < training.recipe.steps:
        progress(training.step + 1, training.advance())
        if training.step % training.recipe.checkpoint_every == 0:
            training.save(checkpoint)
    checkpoint.unlink(missing_ok=True)
    return training.context.detach().cpu().clone()


def keep(
    folder: WeightsStore, towers: StoredWeights, tag: str, context: torch.Tensor, learned_from: Sequence[str]
) -> StoredWeights:
    """Put learned words into the weights folder, under ``coop:TAG``, as those of these towers."""
    tensors = {"context": context}
    source = ", ".join(sorted(set(learned_from))) or "pictures"
    card = WeightsCard("coop-prompts", "coop", tag, source, content_hash(tensors), backbone=towers.card.name)
    return folder.keep(card, tensors)
