"""CoOp: a learned context before a class's name, on a frozen CLIP (Zhou et al., "Learning to Prompt for Vision-Language
Models", IJCV 2022, arXiv 2109.01134), with a normal and an anomalous class as InCTRL compares itself with it.

A prompt is M learned vectors, then "normal" or "anomalous" and the object's name. The score is the softmax of an
image's cosines with the two. CoOp compares with no normals, which here only set the threshold, and localises nothing:
its map is the image's score in every cell. The vectors are learned by `scorer.training.coop.trainer`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from torch.nn import functional

from scorer.backbones.clip_loader import LoadedClip, load_clip, require_text_tower
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights.store import StoredWeights, WeightsStore
from scorer.detectors.score_tensors import ScoreTensors
from scorer.detectors.whole_image import FittedNormals
from scorer.distances.cosine import to_unit_length
from scorer.engines.devices import resolve_device
from scorer.errors import InvalidWeights, UnsupportedBackbone
from scorer.settings import ScorerSettings

CLASS_TEMPLATES = ("normal {}.", "anomalous {}.")
PLACEHOLDER = "x"
"""One token of CLIP's vocabulary, whose embedding a learned context vector replaces."""

LOGIT_SCALE = 100
"""The factor of cosines before the softmax, with which CLIP's own training ends."""


class LearnablePrompts:
    """The two prompts of each of N nouns, whose first `length` tokens are context vectors.

    Raises `UnsupportedBackbone` for towers whose text tower is not CLIP's own.
    """

    def __init__(self, towers: OpenClip, nouns: Sequence[str], length: int) -> None:
        if not towers.has_clip_text_tower:
            raise UnsupportedBackbone(
                f"CoOp learns words of CLIP's own text tower, which {towers.architecture.model} doesn't have; choose "
                "another, such as openclip/ViT-B-16-plus-240."
            )
        names = [noun.replace("_", " ") for noun in nouns]
        opening = f"{PLACEHOLDER} " * length
        texts = [opening + template.format(name) for name in names for template in CLASS_TEMPLATES]
        with torch.no_grad():
            token_embeddings, self._ends = towers.embed_tokens(texts)
        # (2 N, T, W); tokens after a text's end have no effect
        self._token_embeddings = token_embeddings[:, : int(self._ends.max()) + 1]
        self._towers = towers
        self._length = length

    def texts(self, context: torch.Tensor, nouns: Sequence[int]) -> torch.Tensor:
        """Return the embedded prompts of some nouns; gradients flow to `context`.

        Args:
            context: Learned context vectors, (1, M, W) for both classes together or (2, M, W) for each.
            nouns: Positions of n of the N nouns.

        Returns:
            (n, 2, E) at unit length, normal and anomalous.
        """
        classes = len(CLASS_TEMPLATES)
        rows = torch.tensor([classes * noun + number for noun in nouns for number in range(classes)])
        fixed = self._token_embeddings[rows]  # (2 n, T, W)
        learned = context.expand(classes, -1, -1).repeat(len(nouns), 1, 1)  # (2 n, M, W)
        token_embeddings = torch.cat([fixed[:, :1], learned, fixed[:, 1 + self._length :]], dim=1)
        return to_unit_length(self._towers.embed_token_embeddings(token_embeddings, self._ends[rows])).view(
            len(nouns), classes, -1
        )


@dataclass(frozen=True, slots=True)
class ImageEmbeddings:
    """B images: embeddings at unit length (B, E), and which cells show the image, (B, P)."""

    embedding: torch.Tensor
    valid_mask: torch.Tensor

    def take(self, positions: Sequence[int]) -> "ImageEmbeddings":
        """Return the embeddings of those images, in that order."""
        chosen = torch.tensor(positions, device=self.embedding.device)
        return ImageEmbeddings(self.embedding[chosen], self.valid_mask[chosen])

    @classmethod
    def concat(cls, parts: Sequence["ImageEmbeddings"]) -> "ImageEmbeddings":
        """Join the embeddings of several batches."""
        return cls(torch.cat([part.embedding for part in parts]), torch.cat([part.valid_mask for part in parts]))


class CoopModel:
    """CLIP's towers and learned context vectors, (1 or 2, M, W); any number of stations share it."""

    def __init__(self, clip: LoadedClip, context: torch.Tensor, contents: str, weights_sha256: str) -> None:
        self.towers = clip.towers
        self.contents = f"{clip.stored.card.contents} {contents}"
        self.weights_sha256 = weights_sha256
        self._clip = clip  # keeps the shared towers in use
        self._context = context.to(clip.towers.device)
        self._texts: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def texts(self, noun: str) -> torch.Tensor:
        """Return the normal and the anomalous prompt about a noun, at unit length: (2, E). Computed once per noun."""
        if noun not in self._texts:
            self._texts[noun] = LearnablePrompts(self.towers, [noun], self._context.shape[1]).texts(self._context, [0])[
                0
            ]
        return self._texts[noun]

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed images (B, 3, H, W), uint8 RGB at the tower's size: (B, E) at unit length."""
        return to_unit_length(self.towers.embed_images(self.towers.normalised(pixels)))


class Coop:
    """CoOp as a whole-image method."""

    name = "coop"
    normal_batch_size = 1
    """A normal's score must not depend, in its last bit, on which other normals are in its batch."""

    def __init__(self, model: CoopModel) -> None:
        towers = model.towers
        self.model = model
        self.weights_sha256: str | None = model.weights_sha256
        self.size, self.grid, self.device = towers.image_size, towers.grid, towers.device
        self.configuration = [model.contents, list(CLASS_TEMPLATES), LOGIT_SCALE, towers.rounding]

    def encode(self, pixels: torch.Tensor, valid_mask: torch.Tensor) -> ImageEmbeddings:
        """Run the image tower."""
        return ImageEmbeddings(self.model.embed(pixels), valid_mask)

    def fit(self, normals: ImageEmbeddings, object_name: str) -> FittedNormals:
        """Store the texts and score each normal, which depends on no other."""
        stored = {"texts": self.model.texts(object_name)}
        scores = [self.score(normals.take([normal]), stored).image for normal in range(len(normals.embedding))]
        return FittedNormals(stored, torch.cat(scores))

    def score(self, queries: ImageEmbeddings, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score encoded images; the component "text" is the score itself."""
        image = text_scores(queries.embedding, fitted["texts"])
        return ScoreTensors(image, image[:, None] * queries.valid_mask, {"text": image})


def logits(embedding: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Return the scaled cosines of unit embeddings (B, E) with both classes: (B, 2), normal and anomalous.

    texts: (2, E) for all images, or (B, 2, E) for each its own.
    """
    cosines: torch.Tensor = (texts @ embedding[:, :, None])[..., 0]
    return LOGIT_SCALE * cosines


def text_scores(embedding: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Return how much nearer unit embeddings (B, E) are to the anomalous prompt of (2, E) than to the normal: (B,)."""
    return functional.softmax(logits(embedding, texts), dim=1)[:, 1]


_models: WeakValueDictionary[tuple[int, str], CoopModel] = WeakValueDictionary()
"""Models in use by their shared towers and prompts, so that detectors of several framings share one."""


def load(settings: ScorerSettings) -> Coop:
    """Load CoOp on the CLIP that the settings name as backbone, with the prompts that were learned on it.

    Raises `UnsupportedBackbone` for a backbone without a text tower, `ModelUnavailable` where nothing was learned on it
    yet.
    """
    require_text_tower(settings)
    store = WeightsStore(settings.weights_path)
    clip = load_clip(settings, resolve_device(settings.device))
    learned = store.prompts(clip.stored.card.name, settings.coop_prompts or None)
    key = id(clip), learned.sha256
    model = _models.get(key)
    if model is None:
        context = _read_context(store, learned, clip.towers)
        model = _models[key] = CoopModel(clip, context, learned.card.contents, learned.sha256)
    return Coop(model)


def _read_context(store: WeightsStore, learned: StoredWeights, towers: OpenClip) -> torch.Tensor:
    """Return the context vectors of a file, (1 or 2, M, W); raises `InvalidWeights` where they do not fit the tower."""
    tensors = store.tensors(learned)
    if tensors.keys() != {"context"}:
        raise InvalidWeights(
            f"{learned.path} holds {', '.join(sorted(tensors)) or 'nothing'}, where CoOp's prompts have context."
        )
    context, width = tensors["context"], int(towers.architecture.config["text_cfg"]["width"])
    if context.dim() != 3 or len(context) not in (1, len(CLASS_TEMPLATES)) or context.shape[2] != width:
        found = "×".join(str(size) for size in context.shape)
        raise InvalidWeights(
            f"{learned.path} does not fit {towers.architecture.model}: context is {found}, where one or two classes of "
            f"words {width} wide are needed; learn the prompts again with andon train coop."
        )
    return context
