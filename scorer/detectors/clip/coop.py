"""CoOp: learned words before a class's name, on a frozen CLIP (Zhou et al., "Learning to Prompt for Vision-Language
Models", IJCV 2022, arXiv 2109.01134), with a normal and an anomalous class as InCTRL compares itself with it.

A prompt is M learned vectors, then "normal" or "anomalous" and the object's name. The score is the softmax of an
image's cosines with the two. CoOp looks at no normals, which here only set the threshold, and at no place: its map is
the image's score in every cell. The vectors are learned by `scorer.training.coop_trainer`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch.nn import functional

from scorer.backbones.clip_loader import LoadedClip, load_clip, require_text_tower
from scorer.backbones.device_resize import framing_identity, pixel_batch, resizes_on_device
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights.store import StoredWeights, WeightsStore
from scorer.detectors.protocol import References, RgbImage, Scores
from scorer.detectors.station_groups import score_groups_separately
from scorer.distances.cosine import to_unit_length
from scorer.errors import InvalidNormalSet, InvalidWeights, UnsupportedBackbone
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings

CLASS_TEMPLATES = ("normal {}.", "anomalous {}.")
PLACEHOLDER = "x"
"""One word of CLIP's dictionary, whose vector a learned one stands in for."""

LOGIT_SCALE = 100
"""What cosines are multiplied by before the softmax: where CLIP's own training ends."""

MIN_NORMALS, MAX_NORMALS = 2, 64
ENCODE_BATCH_SIZE = 8


class LearnablePrompts:
    """The two prompts of each of N nouns, of which the first `length` words are left open."""

    def __init__(self, towers: OpenClip, nouns: Sequence[str], length: int) -> None:
        if not towers.has_clip_text_tower:
            raise UnsupportedBackbone(
                f"CoOp learns words of CLIP's own text tower, which {towers.architecture.model} doesn't have; choose "
                "another, such as openclip/ViT-B-16-plus-240."
            )
        names = [noun.replace("_", " ") for noun in nouns]
        opening = f"{PLACEHOLDER} " * length
        with torch.no_grad():
            words, self._ends = towers.words(
                [opening + kind.format(name) for name in names for kind in CLASS_TEMPLATES]
            )
        self._words = words[:, : int(self._ends.max()) + 1]  # (2 N, T, W); what follows a text's end says nothing
        self._towers = towers
        self._length = length

    def texts(self, context: torch.Tensor, nouns: Sequence[int]) -> torch.Tensor:
        """The prompts of n of the nouns with learned words (1 or 2 classes, length, W), at unit length: (n, 2, D).

        Keeps gradients.
        """
        rows = torch.tensor(
            [len(CLASS_TEMPLATES) * noun + kind for noun in nouns for kind in range(len(CLASS_TEMPLATES))]
        )
        given = self._words[rows]
        learned = context.expand(len(CLASS_TEMPLATES), -1, -1).repeat(len(nouns), 1, 1)
        words = torch.cat([given[:, :1], learned, given[:, 1 + self._length :]], dim=1)
        return to_unit_length(self._towers.embed_words(words, self._ends[rows])).view(
            len(nouns), len(CLASS_TEMPLATES), -1
        )


@dataclass(frozen=True, slots=True)
class ImageEmbeddings:
    """B pictures: embeddings of unit length (B, D), and which cells lie in the picture, (B, rows, columns)."""

    embedding: torch.Tensor
    valid_mask: torch.Tensor

    def take(self, places: Sequence[int]) -> "ImageEmbeddings":
        """Those pictures, in that order."""
        kept = torch.tensor(places, device=self.embedding.device)
        return ImageEmbeddings(self.embedding[kept], self.valid_mask[kept])


class CoopModel:
    """The model, which any number of stations share: CLIP's towers and learned words, (1 or 2, M, W)."""

    def __init__(self, clip: LoadedClip, context: torch.Tensor, contents: str, weights_sha256: str) -> None:
        self.towers = clip.towers
        self.contents = f"{clip.kept.card.contents} {contents}"
        self.weights_sha256 = weights_sha256
        self._clip = clip  # keeps the shared towers in use
        self._context = context.to(clip.towers.device)
        self._texts: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def texts(self, noun: str) -> torch.Tensor:
        """The normal and the anomalous prompt about a noun, of unit length, (2, D); kept per noun."""
        if noun not in self._texts:
            self._texts[noun] = LearnablePrompts(self.towers, [noun], self._context.shape[1]).texts(self._context, [0])[
                0
            ]
        return self._texts[noun]

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W), uint8 RGB at the tower's size, to (B, D) of unit length."""
        return to_unit_length(self.towers.embed_images(self.towers.normalised(pixels)))


class CoopDetector:
    """CoOp behind the detector seam."""

    name = "coop"

    def __init__(self, model: CoopModel, framing: Framing) -> None:
        self._model = model
        self._framing = framing
        self._grid = model.towers.grid
        self.weights_sha256: str | None = model.weights_sha256
        configuration = [
            self.name,
            model.contents,
            list(CLASS_TEMPLATES),
            LOGIT_SCALE,
            model.towers.rounding,
            framing_identity(framing, model.towers.device),
        ]
        self.model_id = sha256(json.dumps(configuration).encode()).hexdigest()

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Score 2 to 64 normals, of which no score depends on another; raises `InvalidNormalSet` for another number."""
        if not MIN_NORMALS <= len(normals) <= MAX_NORMALS:
            raise InvalidNormalSet(
                f"CoOp's threshold is set by {MIN_NORMALS} to {MAX_NORMALS} normal images; this set has {len(normals)}."
            )
        if self._framing.tiles > 1:
            raise InvalidNormalSet(
                f"CoOp looks at a whole picture, and the station's framing is {self._framing}; choose letterbox, "
                "stretch or centre_crop, or a detector that compares patches."
            )
        unscored = References(self.model_id, {"texts": self._model.texts(object_name)}, ())
        # One by one: a score must not depend, in its last bit, on which normals go through the tower beside it.
        scores = tuple(float(self.score([normal], unscored).image) for normal in normals)
        return References(self.model_id, unscored.tensors, scores)

    def score(self, pictures: Sequence[RgbImage], references: References) -> Scores:
        """Score pictures of one station."""
        return self.judge(self.encode([self.prepare(picture) for picture in pictures]), references)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """As the framing needs for the tower's size."""
        return self._framing.target_size(height, width, self._model.towers.image_size)

    def prepare(self, picture: RgbImage) -> Framed:
        """Frame for the tower."""
        towers = self._model.towers
        return self._framing.prepare(picture, towers.image_size, self._grid, later=resizes_on_device(towers.device))

    @torch.inference_mode()
    def encode(self, framed: Sequence[Framed]) -> ImageEmbeddings:
        """Run the image tower, a few pictures at a time."""
        pixels = pixel_batch(framed, self._model.towers.device)
        embedding = torch.cat([self._model.embed(some) for some in torch.split(pixels, ENCODE_BATCH_SIZE)])
        valid_mask = torch.from_numpy(np.stack([one.cells for one in framed]))
        return ImageEmbeddings(embedding, valid_mask.to(embedding.device))

    def score_each(self, encoded: ImageEmbeddings, references: Sequence[References]) -> Scores:
        """Score pictures of several stations."""
        return score_groups_separately(encoded, references, self.judge)

    @torch.inference_mode()
    def judge(self, encoded: ImageEmbeddings, references: References) -> Scores:
        """The component is the score itself, as a text score."""
        image = text_scores(encoded.embedding, references.tensors["texts"])
        return Scores(image, image[:, None, None] * encoded.valid_mask, {"text": image})


def logits(embedding: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Unit embeddings (B, D) against the texts of all, (2, D), or of each, (B, 2, D): (B, 2), normal and anomalous."""
    cosines: torch.Tensor = (texts @ embedding[:, :, None])[..., 0]
    return LOGIT_SCALE * cosines


def text_scores(embedding: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """How much nearer unit embeddings (B, D) are to the anomalous prompt (2, D) than to the normal one: (B,)."""
    return functional.softmax(logits(embedding, texts), dim=1)[:, 1]


_in_use: WeakValueDictionary[tuple[int, str], CoopModel] = WeakValueDictionary()
"""Models by their shared towers and prompts, so that detectors of several framings share one."""


def load(settings: ScorerSettings, device: torch.device, framing: Framing) -> CoopDetector:
    """CoOp on the CLIP that the settings name as backbone, with the prompts learned on it.

    Raises `UnsupportedBackbone` for a backbone without a text tower, `ModelUnavailable` where nothing was learned on
    it yet.
    """
    require_text_tower(settings)
    folder = WeightsStore(settings.weights_path)
    clip = load_clip(settings, device)
    learned = folder.prompts(clip.kept.card.name, settings.coop_prompts or None)
    key = id(clip), learned.sha256
    model = _in_use.get(key)
    if model is None:
        context = _context(folder, learned, clip.towers)
        model = _in_use[key] = CoopModel(clip, context, learned.card.contents, learned.sha256)
    return CoopDetector(model, framing)


def _context(folder: WeightsStore, learned: StoredWeights, towers: OpenClip) -> torch.Tensor:
    """The learned words of a file; raises `InvalidWeights` where they are none of this tower's."""
    tensors = folder.tensors(learned)
    if tensors.keys() != {"context"}:
        raise InvalidWeights(
            f"{learned.path} holds {', '.join(sorted(tensors)) or 'nothing'}, where CoOp keeps context."
        )
    context, width = tensors["context"], int(towers.architecture.config["text_cfg"]["width"])
    if context.dim() != 3 or len(context) not in (1, len(CLASS_TEMPLATES)) or context.shape[2] != width:
        found = "×".join(str(size) for size in context.shape)
        raise InvalidWeights(
            f"{learned.path} does not fit {towers.architecture.model}: context is {found}, where one or two classes of "
            f"words {width} wide are needed; learn the prompts again with andon train coop."
        )
    return context
