"""Training of CoOp: context vectors are learned on embeddings of labelled images by a frozen CLIP."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from scorer.backbones.image_resize import frame_image
from scorer.backbones.openclip import OpenClip
from scorer.detectors.clip.coop import CLASS_TEMPLATES, LearnablePrompts, logits
from scorer.distances.cosine import to_unit_length
from scorer.imaging.framing import Framing
from scorer.training.checkpoints import load_checkpoint, save_checkpoint
from scorer.training.images.dataset import BadTrainingData, TrainingClass
from scorer.training.schedule import learning_rate_factor

INITIAL_STD = 0.02
"""The standard deviation of context vectors before training, as published."""

DEFAULT_CONTEXT_LENGTH = 77


@dataclass(frozen=True, slots=True)
class CoopTrainingConfig:
    """The hyperparameters of a training; the first seven have the paper's values.

    Attributes:
        context_tokens: How many context vectors are learned.
        class_specific: Whether each of the two classes has context vectors of its own.
        steps: Batches to train on.
        batch: Images per batch, half of them anomalous.
        rate: The full learning rate of SGD.
        momentum: The momentum of SGD.
        decay: Weight decay.
        warmup: The fraction of the steps in which the learning rate rises.
        seed: The seed of context vectors and batches.
        checkpoint_every: Steps between two checkpoints.
    """

    context_tokens: int = 16
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
    """The embeddings of N labelled images.

    Attributes:
        embedding: Unit vectors, (N, D).
        nouns: The noun of the object in each image.
        anomalous: Labels, (N,), bool.
    """

    embedding: torch.Tensor
    nouns: tuple[str, ...]
    anomalous: torch.Tensor

    @property
    def digest(self) -> str:
        """A hash of the content: a training resumes only from a checkpoint of the same."""
        digest = sha256("\n".join(self.nouns).encode())
        digest.update(self.embedding.cpu().float().numpy().tobytes())
        digest.update(self.anomalous.cpu().numpy().tobytes())
        return digest.hexdigest()


def embed_queries(
    classes: Iterable[TrainingClass], towers: OpenClip, framing: Framing, report: Callable[[int], None]
) -> LabelledEmbeddings:
    """Embed each query of the classes once; `report` gets the number of images done.

    Raises:
        BadTrainingData: No queries were given.
    """
    embeddings: list[torch.Tensor] = []
    nouns: list[str] = []
    anomalous: list[bool] = []
    for training_class in classes:
        for query in training_class.queries:
            framed = frame_image(framing, query.read(), towers.image_size)
            pixels = torch.from_numpy(framed[None]).permute(0, 3, 1, 2)  # (1, 3, H, W)
            embeddings.append(to_unit_length(towers.embed_images(towers.normalised(pixels))))
            nouns.append(training_class.noun)
            anomalous.append(query.anomalous)
            report(len(nouns))
    if not embeddings:
        raise BadTrainingData("There are no images to train CoOp's prompts on; name a labelled dataset.")
    return LabelledEmbeddings(torch.cat(embeddings), tuple(nouns), torch.tensor(anomalous))


class CoopTrainer:
    """Context vectors and optimiser at a step; equal configuration and embeddings give equal vectors."""

    def __init__(self, towers: OpenClip, embeddings: LabelledEmbeddings, config: CoopTrainingConfig) -> None:
        """Prepare to train on `embeddings` of `towers`.

        Raises:
            BadTrainingData: A class has no image, or the text tower's context is too short for the context vectors.
        """
        self._rows_by_label = [
            torch.nonzero(embeddings.anomalous.cpu() == label)[:, 0].numpy() for label in (False, True)
        ]
        for rows, kind in zip(self._rows_by_label, ("normal", "anomalous"), strict=True):
            if not len(rows):
                raise BadTrainingData(f"CoOp is trained on normal and on anomalous images; there is no {kind} one.")
        text_config: Mapping[str, Any] = towers.architecture.config["text_cfg"]
        context_length = int(text_config.get("context_length", DEFAULT_CONTEXT_LENGTH))
        if not 1 <= config.context_tokens <= context_length // 2:
            raise BadTrainingData(
                f"{towers.architecture.model} reads {context_length} tokens, of which CoOp may learn 1 to "
                f"{context_length // 2}, not {config.context_tokens}."
            )
        self.config = config
        self.step = 0
        self._embeddings = embeddings
        self._identity = f"{asdict(config)} {embeddings.digest}"
        nouns = sorted(set(embeddings.nouns))
        noun_indices = {noun: index for index, noun in enumerate(nouns)}
        self._noun_of_row = np.array([noun_indices[noun] for noun in embeddings.nouns])
        self._prompts = LearnablePrompts(towers, nouns, config.context_tokens)
        self._device = towers.device
        shape = (
            len(CLASS_TEMPLATES) if config.class_specific else 1,
            config.context_tokens,
            int(text_config["width"]),
        )
        generator = torch.Generator().manual_seed(config.seed)
        self.context = (INITIAL_STD * torch.randn(shape, generator=generator)).to(towers.device).requires_grad_()
        self._optimiser = torch.optim.SGD(
            [self.context], lr=config.rate, momentum=config.momentum, weight_decay=config.decay
        )

    @property
    def steps(self) -> int:
        """As `StepTrainer`."""
        return self.config.steps

    @property
    def checkpoint_every(self) -> int:
        """As `StepTrainer`."""
        return self.config.checkpoint_every

    def advance(self) -> float:
        """Train on one batch; return the loss before the step."""
        config = self.config
        generator = np.random.default_rng([config.seed, self.step])
        per_label = max(1, config.batch // 2)
        rows = np.concatenate([rows[generator.integers(len(rows), size=per_label)] for rows in self._rows_by_label])
        for group in self._optimiser.param_groups:
            group["lr"] = config.rate * learning_rate_factor(self.step / config.steps, config.warmup)
        self.step += 1
        loss = self._loss(rows)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def loss(self) -> float:
        """Return the mean loss over all images with the current context vectors."""
        return float(self._loss(np.arange(len(self._noun_of_row))))

    def _loss(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return the cross-entropy of images against the two prompts about their nouns."""
        nouns, noun_of_row = np.unique(self._noun_of_row[rows], return_inverse=True)
        texts = self._prompts.texts(self.context, nouns.tolist())
        indices = torch.from_numpy(rows)
        predictions = logits(
            self._embeddings.embedding[indices.to(self._embeddings.embedding.device)], texts[noun_of_row]
        )
        labels = self._embeddings.anomalous[indices].long().to(predictions.device)
        return functional.cross_entropy(predictions, labels)

    def learned_context(self) -> torch.Tensor:
        """Return a copy of the context vectors, (1 or 2 classes, context_tokens, width), on the CPU."""
        return self.context.detach().cpu().clone()

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        state = {"context": self.context.detach(), "optimiser": self._optimiser.state_dict(), "step": self.step}
        save_checkpoint(path, self._identity, state)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration and embeddings.

        Raises:
            InvalidWeights: The checkpoint is of another training, or cannot be read.
        """
        state = load_checkpoint(path, self._identity, self._device)
        with torch.no_grad():
            self.context.copy_(state["context"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
