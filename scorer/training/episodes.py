"""Episodes: a query held against K random normals of its own class, many at once, from pictures encoded only once.

The backbone is frozen, so each query is compared once with every prompt of its class; the map against any K of them is
then the smaller of theirs, patch by patch and layer by layer, and a training step costs no more than the heads.
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
from scorer.training.dataset import BadTrainingData, Picture, TrainingClass

ENCODE_BATCH_SIZE = 8
MASKED_COSINE = -2.0
"""Below every cosine: a patch in a letterbox's bar is nobody's neighbour."""


@dataclass(frozen=True, slots=True)
class BackboneFeatures:
    """What the frozen backbone makes of B pictures: unit tokens (L, B, P, W), looked_at (B, P), embeddings (B, D)."""

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    embedding: torch.Tensor


class FrozenBackbone(Protocol):
    """A frozen backbone with its framing."""

    @property
    def identity(self) -> str:
        """All that `see` depends on."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""

    @property
    def width(self) -> int:
        """Of embeddings."""

    def see(self, pictures: Sequence[Picture]) -> BackboneFeatures:
        """Encode pictures."""

    def text_scores(self, embedding: torch.Tensor, noun: str) -> torch.Tensor | None:
        """The text tower's score of embeddings (B, D), (B,); None where there is no such tower."""


@dataclass(frozen=True, slots=True)
class EncodedClass:
    """One class, encoded: Q queries, N prompts.

    residuals: (Q, N, L, P), ½(1 − cos) of each patch of a query to the nearest patch of each prompt; 0 in the query's
    bars. queries (Q, D), prompts (N, D): embeddings. texts: (Q,), 0 where there is no text tower. anomalous: (Q,) bool.
    origins: (Q,), the prompt a query is or was made of, −1 for none.
    """

    residuals: torch.Tensor
    queries: torch.Tensor
    prompts: torch.Tensor
    texts: torch.Tensor
    anomalous: torch.Tensor
    origins: torch.Tensor


@dataclass(frozen=True, slots=True)
class EpisodeBatch:
    """B episodes; row by row, everything is of the same query and of its own prompts.

    maps (B, P), queries (B, D), prompts (B, K, D), texts (B,), labels (B,) float, 1 for an anomaly. `chosen` says what
    was drawn: source, class, query, prompts.
    """

    maps: torch.Tensor
    queries: torch.Tensor
    prompts: torch.Tensor
    texts: torch.Tensor
    labels: torch.Tensor
    chosen: tuple["Episode", ...]

    def to(self, device: torch.device) -> "EpisodeBatch":
        """The same on a device."""
        return self._each(lambda values: values.to(device), self.chosen)

    def take(self, places: Sequence[int]) -> "EpisodeBatch":
        """Those episodes, in that order."""
        rows = torch.tensor(places, device=self.labels.device)
        return self._each(lambda values: values[rows], tuple(self.chosen[place] for place in places))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor], chosen: tuple["Episode", ...]) -> "EpisodeBatch":
        return EpisodeBatch(
            change(self.maps),
            change(self.queries),
            change(self.prompts),
            change(self.texts),
            change(self.labels),
            chosen,
        )


@dataclass(frozen=True, slots=True)
class Episode:
    """What was drawn: places of the source, of the class in it, of the query and of its prompts in the class."""

    source: int
    number: int
    query: int
    prompts: tuple[int, ...]


EncodedSources = Mapping[str, Sequence[EncodedClass]]
"""Classes by what they came from: a labelled set is a source of one class, the photographs are a source of many."""


@torch.inference_mode()
def encode(sight: FrozenBackbone, material: TrainingClass) -> EncodedClass:
    """Look at every picture of a class once."""
    prompts = _seen(sight, material.prompts)
    parts, embeddings = [], []
    for first in range(0, len(material.queries), ENCODE_BATCH_SIZE):
        seen = sight.see([query.read() for query in material.queries[first : first + ENCODE_BATCH_SIZE]])
        parts.append(_residuals(seen, prompts).cpu())
        embeddings.append(seen.embedding)
    queries = torch.cat(embeddings)
    texts = sight.text_scores(queries, material.noun)
    return EncodedClass(
        residuals=torch.cat(parts),
        queries=queries.cpu(),
        prompts=prompts.embedding.cpu(),
        texts=torch.zeros(len(queries)) if texts is None else texts.cpu(),
        anomalous=torch.tensor([query.anomalous for query in material.queries]),
        origins=torch.tensor([query.origin for query in material.queries]),
    )


def encode_class_cached(sight: FrozenBackbone, material: TrainingClass, cache: Path) -> EncodedClass:
    """`encode`, kept in a folder as long as neither pictures nor backbone change."""
    path = cache / f"{sha256(repr((sight.identity, material.digest)).encode()).hexdigest()[:32]}.safetensors"
    if path.is_file():
        kept = load_file(path)
        return EncodedClass(*(kept[one.name] for one in fields(EncodedClass)))
    gallery = encode(sight, material)
    with replace_file(path) as temporary:
        save_file({one.name: getattr(gallery, one.name).contiguous() for one in fields(EncodedClass)}, temporary)
    return gallery


def sample_episodes(sources: EncodedSources, size: int, shots: int, draw: np.random.Generator) -> EpisodeBatch:
    """`size` episodes of `shots` prompts, every other one an anomaly; sources as often as each other.

    A query never meets its origin. Where a class has fewer prompts than that, they are repeated.
    """
    names = sorted(sources)
    if not names:
        raise BadTrainingData("There is nothing to learn from; name a folder in MVTec layout or one of photographs.")
    episodes, rows = [], []
    for place in range(size):
        source = int(draw.integers(len(names)))
        galleries = sources[names[source]]
        number = int(draw.integers(len(galleries)))
        gallery = galleries[number]
        right = torch.nonzero(gallery.anomalous == bool(place % 2))[:, 0]
        query = int(right[draw.integers(len(right))])
        allowed = [one for one in range(len(gallery.prompts)) if one != gallery.origins[query]]
        chosen = np.resize(draw.permutation(allowed), shots)
        episodes.append(Episode(source, number, query, tuple(int(one) for one in chosen)))
        rows.append((gallery, query, torch.from_numpy(chosen)))
    return EpisodeBatch(
        maps=torch.stack([gallery.residuals[query, chosen].amin(dim=0).mean(dim=0) for gallery, query, chosen in rows]),
        queries=torch.stack([gallery.queries[query] for gallery, query, _ in rows]),
        prompts=torch.stack([gallery.prompts[chosen] for gallery, _, chosen in rows]),
        texts=torch.stack([gallery.texts[query] for gallery, query, _ in rows]),
        labels=torch.arange(size) % 2 * 1.0,
        chosen=tuple(episodes),
    )


def _seen(sight: FrozenBackbone, reads: Sequence[Callable[[], Picture]]) -> BackboneFeatures:
    parts = [
        sight.see([read() for read in reads[first : first + ENCODE_BATCH_SIZE]])
        for first in range(0, len(reads), ENCODE_BATCH_SIZE)
    ]
    return BackboneFeatures(
        torch.cat([part.tokens for part in parts], dim=1),
        torch.cat([part.valid_mask for part in parts]),
        torch.cat([part.embedding for part in parts]),
    )


def _residuals(seen: BackboneFeatures, prompts: BackboneFeatures) -> torch.Tensor:
    """(B, N, L, P): a query's patches against one prompt's at a time, so that any prompts can be chosen later."""
    layers = []
    for mine, theirs in zip(seen.tokens, prompts.tokens, strict=True):
        pairs = rearrange(mine, "b p w -> (b p) w") @ rearrange(theirs, "n m w -> (n m) w").T
        cosines = rearrange(pairs, "(b p) (n m) -> b n p m", b=len(mine), n=len(theirs))
        nearest = cosines.masked_fill(~prompts.valid_mask[None, :, None, :], MASKED_COSINE).amax(dim=-1)
        layers.append(0.5 * (1 - nearest.clamp(max=1)))
    return torch.stack(layers, dim=2).masked_fill(~seen.valid_mask[:, None, None, :], 0)


def digest_sources(galleries: EncodedSources) -> str:
    """A hash of everything in the sources: the same pictures, seen alike."""
    digest = sha256()
    for name in sorted(galleries):
        for gallery in galleries[name]:
            for one in fields(EncodedClass):
                values: npt.NDArray[np.generic] = getattr(gallery, one.name).contiguous().numpy()
                digest.update(f"{name} {one.name} {values.shape}".encode() + values.tobytes())
    return digest.hexdigest()
