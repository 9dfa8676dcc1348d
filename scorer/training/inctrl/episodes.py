"""Episodes for InCTRL: a query against K random normals of its own class, from images that are encoded once.

The backbone is frozen, so each query is compared once with every prompt of its class. The residual map against any K
of them is then the minimum of their maps, patch by patch and layer by layer, and a training step costs no more than
the heads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from safetensors.torch import load_file, save_file

from foundation.atomic_files import replace_file
from imaging.rgb import RgbImage
from scorer.training.images.dataset import BadTrainingData, ReadImage, TrainingClass

ENCODE_BATCH_SIZE = 8
MASKED_COSINE = -2.0
"""Below every cosine, so that padding is never the nearest patch."""


@dataclass(frozen=True, slots=True)
class BackboneFeatures:
    """The features of B images in L layers of P patches.

    Attributes:
        tokens: Unit vectors, (L, B, P, W).
        valid_mask: (B, P), bool; False in padding.
        embedding: (B, D).
    """

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    embedding: torch.Tensor


class FrozenBackbone(Protocol):
    """A frozen backbone with its framing."""

    @property
    def identity(self) -> str:
        """Everything that the features depend on."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""

    @property
    def width(self) -> int:
        """The width of embeddings."""

    def encode(self, images: Sequence[RgbImage]) -> BackboneFeatures:
        """Encode images."""

    def text_scores(self, embedding: torch.Tensor, noun: str) -> torch.Tensor | None:
        """Return the text tower's scores (B,) of embeddings (B, D); None without a text tower."""


@dataclass(frozen=True, slots=True)
class EncodedClass:
    """The Q queries and N prompts of one class, encoded.

    Attributes:
        residuals: (Q, N, L, P): ½(1 − cos) of each patch of a query to the nearest patch of each prompt; 0 in the
            query's padding.
        queries: Embeddings, (Q, D).
        prompts: Embeddings, (N, D).
        texts: Text scores, (Q,); 0 without a text tower.
        anomalous: Labels, (Q,), bool.
        origins: (Q,): the prompt that a query is or was made from, −1 for none.
    """

    residuals: torch.Tensor
    queries: torch.Tensor
    prompts: torch.Tensor
    texts: torch.Tensor
    anomalous: torch.Tensor
    origins: torch.Tensor


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode by index: the source, the class in it, and the query and its prompts in the class."""

    source: int
    class_index: int
    query: int
    prompts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EpisodeBatch:
    """B episodes; each row of every tensor belongs to one query and its own prompts.

    Attributes:
        maps: Residual maps, (B, P).
        queries: Embeddings, (B, D).
        prompts: Embeddings, (B, K, D).
        texts: Text scores, (B,).
        labels: (B,), float; 1 for an anomaly.
        episodes: Which episodes were drawn.
    """

    maps: torch.Tensor
    queries: torch.Tensor
    prompts: torch.Tensor
    texts: torch.Tensor
    labels: torch.Tensor
    episodes: tuple[Episode, ...]

    def to(self, device: torch.device) -> "EpisodeBatch":
        """Return the batch on a device."""
        return self._map(lambda values: values.to(device), self.episodes)

    def take(self, indices: Sequence[int]) -> "EpisodeBatch":
        """Return the episodes of these indices, in that order."""
        rows = torch.tensor(indices, device=self.labels.device)
        return self._map(lambda values: values[rows], tuple(self.episodes[index] for index in indices))

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor], episodes: tuple[Episode, ...]) -> "EpisodeBatch":
        return EpisodeBatch(
            change(self.maps),
            change(self.queries),
            change(self.prompts),
            change(self.texts),
            change(self.labels),
            episodes,
        )


EncodedSources = Mapping[str, Sequence[EncodedClass]]
"""Encoded classes by source: a labelled dataset is a source of one class, the photographs are a source of many."""


@torch.inference_mode()
def encode_class(backbone: FrozenBackbone, training_class: TrainingClass) -> EncodedClass:
    """Encode every image of a class, and compare each query with every prompt."""
    prompts = _encode_prompts(backbone, training_class.prompts)
    residuals, embeddings = [], []
    for first in range(0, len(training_class.queries), ENCODE_BATCH_SIZE):
        batch = training_class.queries[first : first + ENCODE_BATCH_SIZE]
        features = backbone.encode([query.read() for query in batch])
        residuals.append(_residuals(features, prompts).cpu())
        embeddings.append(features.embedding)
    queries = torch.cat(embeddings)
    texts = backbone.text_scores(queries, training_class.noun)
    return EncodedClass(
        residuals=torch.cat(residuals),
        queries=queries.cpu(),
        prompts=prompts.embedding.cpu(),
        texts=torch.zeros(len(queries)) if texts is None else texts.cpu(),
        anomalous=torch.tensor([query.anomalous for query in training_class.queries]),
        origins=torch.tensor([query.origin for query in training_class.queries]),
    )


def encode_class_cached(backbone: FrozenBackbone, training_class: TrainingClass, cache: Path) -> EncodedClass:
    """Return `encode_class` from a folder, as long as neither the images nor the backbone change."""
    key = sha256(repr((backbone.identity, training_class.digest)).encode()).hexdigest()[:32]
    path = cache / f"{key}.safetensors"
    names = [field.name for field in fields(EncodedClass)]
    if path.is_file():
        tensors = load_file(path)
        return EncodedClass(*(tensors[name] for name in names))
    encoded = encode_class(backbone, training_class)
    with replace_file(path) as temporary:
        save_file({name: getattr(encoded, name).contiguous() for name in names}, temporary)
    return encoded


def sample_episodes(sources: EncodedSources, size: int, shots: int, generator: np.random.Generator) -> EpisodeBatch:
    """Draw `size` episodes of `shots` prompts each; every other one is an anomaly, and sources are equally likely.

    A query is never compared with its origin. If a class has too few prompts, they are repeated.

    Raises:
        BadTrainingData: No sources were given.
    """
    names = sorted(sources)
    if not names:
        raise BadTrainingData("There is nothing to train on; name a folder in MVTec AD layout or one of photographs.")
    episodes, rows = [], []
    for index in range(size):
        source = int(generator.integers(len(names)))
        classes = sources[names[source]]
        class_index = int(generator.integers(len(classes)))
        encoded = classes[class_index]
        candidates = torch.nonzero(encoded.anomalous == bool(index % 2))[:, 0]
        query = int(candidates[generator.integers(len(candidates))])
        allowed = [prompt for prompt in range(len(encoded.prompts)) if prompt != encoded.origins[query]]
        prompts = np.resize(generator.permutation(allowed), shots)
        episodes.append(Episode(source, class_index, query, tuple(int(prompt) for prompt in prompts)))
        rows.append((encoded, query, torch.from_numpy(prompts)))
    return EpisodeBatch(
        maps=torch.stack(
            [encoded.residuals[query, prompts].amin(dim=0).mean(dim=0) for encoded, query, prompts in rows]
        ),
        queries=torch.stack([encoded.queries[query] for encoded, query, _ in rows]),
        prompts=torch.stack([encoded.prompts[prompts] for encoded, _, prompts in rows]),
        texts=torch.stack([encoded.texts[query] for encoded, query, _ in rows]),
        labels=torch.arange(size) % 2 * 1.0,
        episodes=tuple(episodes),
    )


def digest_sources(sources: EncodedSources) -> str:
    """Return a hash of all tensors of the sources."""
    digest = sha256()
    for name in sorted(sources):
        for encoded in sources[name]:
            for field in fields(EncodedClass):
                values: npt.NDArray[np.generic] = getattr(encoded, field.name).contiguous().numpy()
                digest.update(f"{name} {field.name} {values.shape}".encode() + values.tobytes())
    return digest.hexdigest()


def _encode_prompts(backbone: FrozenBackbone, readers: Sequence[ReadImage]) -> BackboneFeatures:
    batches = [
        backbone.encode([read() for read in readers[first : first + ENCODE_BATCH_SIZE]])
        for first in range(0, len(readers), ENCODE_BATCH_SIZE)
    ]
    return BackboneFeatures(
        torch.cat([batch.tokens for batch in batches], dim=1),
        torch.cat([batch.valid_mask for batch in batches]),
        torch.cat([batch.embedding for batch in batches]),
    )


def _residuals(queries: BackboneFeatures, prompts: BackboneFeatures) -> torch.Tensor:
    """Return (B, N, L, P): each query against each prompt alone, so that any prompts can be combined later."""
    layers = []
    for query_tokens, prompt_tokens in zip(queries.tokens, prompts.tokens, strict=True):
        products = rearrange(query_tokens, "b p w -> (b p) w") @ rearrange(prompt_tokens, "n m w -> (n m) w").T
        cosines = rearrange(products, "(b p) (n m) -> b n p m", b=len(query_tokens), n=len(prompt_tokens))
        nearest = cosines.masked_fill(~prompts.valid_mask[None, :, None, :], MASKED_COSINE).amax(dim=-1)
        layers.append(0.5 * (1 - nearest.clamp(max=1)))
    return torch.stack(layers, dim=2).masked_fill(~queries.valid_mask[:, None, None, :], 0)
