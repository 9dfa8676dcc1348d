"""InCTRL: in-context residual learning with few-shot sample prompts (Zhu and Pang, CVPR 2024, arXiv 2403.06495).

As the official code computes one query at a time (mala-lab/InCTRL, commit cc535d0), for any number at once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from weakref import WeakValueDictionary

import torch
from torch.nn import functional

from scorer.backbones import clip_loader
from scorer.backbones.device_resize import framing_identity, pixel_batch, resizes_on_device
from scorer.backbones.openclip import ImageFeatures, OpenClip
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.store import StoredWeights, WeightsStore
from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.protocol import References, RgbImage, Scores
from scorer.detectors.station_groups import score_groups_separately
from scorer.distances import cosine
from scorer.errors import InvalidNormalSet, ModelUnavailable
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings

PUBLISHED_BLOCKS = (7, 9, 11)
"""Blocks of ViT-B-16-plus-240, counted from 1, whose patch tokens are compared."""


MIN_NORMALS, MAX_NORMALS = 2, 64
ENCODE_BATCH_SIZE = 8


def compared_blocks(depth: int) -> tuple[int, ...]:
    """The published blocks where the tower has them, the same shares of its depth in a shorter one."""
    if depth >= PUBLISHED_BLOCKS[-1]:
        return PUBLISHED_BLOCKS
    if depth < len(PUBLISHED_BLOCKS):
        raise ModelUnavailable(f"InCTRL compares three blocks of an image tower; this one has {depth} in all.")
    third = max(3, round(depth * 11 / 12))
    second = max(2, min(third - 1, round(depth * 9 / 12)))
    return max(1, min(second - 1, round(depth * 7 / 12))), second, third


@dataclass(frozen=True, slots=True)
class NormalContext:
    """What queries are compared with: unit patches (L, M, W), mean of the adapted normals (D,), unit texts (2, D)."""

    patches: torch.Tensor
    adapted: torch.Tensor
    texts: torch.Tensor


@dataclass(frozen=True, slots=True)
class InCtrlScores:
    """Everything InCTRL computes of a batch, named after the paper; each (B,) but the map (B, P)."""

    score: torch.Tensor
    text_score: torch.Tensor
    image_residual_score: torch.Tensor
    patch_residual_map: torch.Tensor
    holistic_score: torch.Tensor
    max_patch_residual: torch.Tensor


class InCtrlModel:
    """The model: a frozen CLIP, an adapter and two heads. A reading of a batch equals the readings one by one.

    `contents` tells the values of all weights, `heads_sha256` is the heads' file, which names the towers it belongs to.
    """

    def __init__(
        self,
        backbone: OpenClip,
        heads: InCtrlHeads,
        blocks: tuple[int, ...] | None = None,
        contents: str = "",
        heads_sha256: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.contents = contents
        self.heads_sha256 = heads_sha256
        self.heads = heads.eval().requires_grad_(False).to(backbone.device)
        self.blocks = compared_blocks(backbone.blocks) if blocks is None else blocks
        self._texts: dict[str, torch.Tensor] = {}

    def encode(self, pixels: torch.Tensor) -> ImageFeatures:
        """Images (B, 3, H, W), uint8 RGB at the tower's size; the tokens (L, B, P, W) come at unit length."""
        encoded = self.backbone.encode_images(self.backbone.normalised(pixels), self.blocks)
        return ImageFeatures(cosine.to_unit_length(encoded.tokens), encoded.embedding)

    @torch.no_grad()
    def context(self, normals: ImageFeatures, noun: str) -> NormalContext:
        """What K encoded normals and the object's name come to."""
        tokens = normals.tokens.flatten(1, 2)
        return NormalContext(tokens, self.heads.adapter(normals.embedding).mean(dim=0), self.texts(noun))

    @torch.no_grad()
    def read(self, queries: ImageFeatures, context: NormalContext) -> InCtrlScores:
        """Compare encoded queries with a context."""
        patch_map = cosine.nearest_residual(queries.tokens, context.patches)
        return self._judge(patch_map, queries.embedding, context.adapted, context.texts)

    @torch.no_grad()
    def read_normals(self, normals: ImageFeatures, patch_map: torch.Tensor, texts: torch.Tensor) -> InCtrlScores:
        """Judge each of K normals against the others; `patch_map` (K, P) is already theirs."""
        adapted = self.heads.adapter(normals.embedding)
        others = (adapted.sum(dim=0) - adapted) / (len(adapted) - 1)
        return self._judge(patch_map, normals.embedding, others, texts)

    @torch.no_grad()
    def texts(self, noun: str) -> torch.Tensor:
        """Mean embedding of the normal and of the anomalous prompts, of unit length, (2, D); kept per noun."""
        if noun not in self._texts:
            asked = prompt_ensemble(noun)
            embedded = cosine.to_unit_length(self.backbone.encode_texts(asked.normal + asked.anomaly))
            normal, anomaly = embedded[: len(asked.normal)], embedded[len(asked.normal) :]
            self._texts[noun] = cosine.to_unit_length(torch.stack([normal.mean(dim=0), anomaly.mean(dim=0)]))
        return self._texts[noun]

    @torch.no_grad()
    def text_scores(self, embedding: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """How much nearer embeddings (B, D) are to the anomalous prompts than to the normal ones: (B,), 0 to 1."""
        return functional.softmax(100 * cosine.to_unit_length(embedding) @ texts.T, dim=1)[:, 1]

    def _judge(
        self, patch_map: torch.Tensor, embedding: torch.Tensor, adapted: torch.Tensor, texts: torch.Tensor
    ) -> InCtrlScores:
        text_score = self.text_scores(embedding, texts)
        said = self.heads.weigh(patch_map, embedding, adapted, text_score)
        return InCtrlScores(
            score=said.score,
            text_score=text_score,
            image_residual_score=said.image_residual_score,
            patch_residual_map=patch_map,
            holistic_score=said.holistic_score,
            max_patch_residual=said.max_patch_residual,
        )


class InCtrlDetector:
    """InCTRL behind the detector seam; the model may be shared by any number of stations.

    Above `coreset_patches` a layer's normal patches are reduced to a greedy coreset of that size.
    """

    name = "inctrl"

    def __init__(self, model: InCtrlModel, framing: Framing, coreset_patches: int = 4096) -> None:
        self._model = model
        self._framing = framing
        self._grid = model.backbone.grid
        if coreset_patches < (fewest := 2 * prod(self._grid)):
            raise ModelUnavailable(
                f"scorer.coreset_patches is {coreset_patches}; with {model.backbone.architecture.model} it must be at "
                f"least {fewest}, the patches of two normals."
            )
        self._coreset_patches = coreset_patches
        self.weights_sha256 = model.heads_sha256
        configuration = [
            self.name,
            model.contents,
            list(model.blocks),
            model.backbone.rounding,
            framing_identity(framing, model.backbone.device),
            coreset_patches,
        ]
        self.model_id = sha256(json.dumps(configuration).encode()).hexdigest()

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Encode each of 2 to 64 normals once; raises `InvalidNormalSet` for another number."""
        if not MIN_NORMALS <= len(normals) <= MAX_NORMALS:
            raise InvalidNormalSet(
                f"InCTRL compares with {MIN_NORMALS} to {MAX_NORMALS} normal images; this set has {len(normals)}."
            )
        if self._framing.tiles > 1:
            raise InvalidNormalSet(
                f"InCTRL looks at a whole picture, and the station's framing is {self._framing}; choose letterbox, "
                "stretch or centre_crop, or a detector that compares patches."
            )
        order = sorted(range(len(normals)), key=lambda place: sha256(normals[place].tobytes()).digest())
        encoded = self.encode([self.prepare(normals[place]) for place in order])
        context = self._model.context(encoded, object_name)
        patches, patch_map = self._reduced(encoded.tokens)
        reading = self._model.read_normals(encoded, patch_map, context.texts)
        scores = dict(zip(order, reading.score.tolist(), strict=True))
        return References(
            model_id=self.model_id,
            tensors={"patches": patches, "adapted": context.adapted, "texts": context.texts},
            normal_scores=tuple(scores[place] for place in range(len(normals))),
        )

    def score(self, pictures: Sequence[RgbImage], references: References) -> Scores:
        """Score pictures of one station."""
        return self.judge(self.encode([self.prepare(picture) for picture in pictures]), references)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """As the framing needs for the tower's size."""
        return self._framing.target_size(height, width, self._model.backbone.image_size)

    def prepare(self, picture: RgbImage) -> Framed:
        """Frame for the tower."""
        backbone = self._model.backbone
        return self._framing.prepare(picture, backbone.image_size, self._grid, later=resizes_on_device(backbone.device))

    def encode(self, framed: Sequence[Framed]) -> ImageFeatures:
        """Run the image tower, a few pictures at a time."""
        pixels = pixel_batch(framed, self._model.backbone.device)
        parts = [self._model.encode(some) for some in torch.split(pixels, ENCODE_BATCH_SIZE)]
        return ImageFeatures(
            torch.cat([part.tokens for part in parts], dim=1), torch.cat([part.embedding for part in parts])
        )

    def score_each(self, encoded: ImageFeatures, references: Sequence[References]) -> Scores:
        """Score pictures of several stations."""
        return score_groups_separately(encoded, references, self.judge)

    def judge(self, encoded: ImageFeatures, references: References) -> Scores:
        """The components are named after the paper."""
        tensors = references.tensors
        context = NormalContext(tensors["patches"], tensors["adapted"], tensors["texts"])
        reading = self._model.read(encoded, context)
        return Scores(
            image=reading.score,
            maps=reading.patch_residual_map.view(-1, *self._grid),
            components={
                "text": reading.text_score,
                "image residual": reading.image_residual_score,
                "holistic": reading.holistic_score,
                "largest patch residual": reading.max_patch_residual,
            },
        )

    def _reduced(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The normal patches to compare with, (L, M, W), and each normal's map against the other normals', (K, P)."""
        flat = tokens.flatten(1, 2)
        if flat.shape[1] <= self._coreset_patches:
            return flat.contiguous(), cosine.leave_one_out_residual(tokens)
        chosen = torch.stack([cosine.greedy_coreset(layer, self._coreset_patches) for layer in flat])
        kept = torch.stack([layer[indices] for layer, indices in zip(flat, chosen, strict=True)])
        return kept, cosine.leave_one_out_coreset_residual(tokens, kept, owners=chosen // tokens.shape[2])


_in_use: WeakValueDictionary[tuple[str, str, str, str], InCtrlModel] = WeakValueDictionary()
"""Models by towers, heads, device, and engine with precision, so that detectors of several framings share one."""


def load(settings: ScorerSettings, device: torch.device, framing: Framing) -> InCtrlDetector:
    """InCTRL from the weights folder: the heads the settings name, or the only ones, with the towers they belong to."""
    folder = WeightsStore(settings.weights_path)
    heads = folder.heads(settings.inctrl_heads or None)
    towers = folder.tower(str(heads.card.backbone))
    key = towers.sha256, heads.sha256, str(device), f"{settings.engine} {settings.precision}"
    model = _in_use.get(key)
    if model is None:
        model = _in_use[key] = _model(folder, clip_loader.load_towers(folder, towers, settings, device), heads)
    return InCtrlDetector(model, framing, settings.coreset_patches)


def _model(folder: WeightsStore, clip: clip_loader.LoadedClip, heads: StoredWeights) -> InCtrlModel:
    module = InCtrlHeads(clip.towers.embedding_width, prod(clip.towers.grid))
    checkpoints.load_into(module, folder.tensors(heads), str(heads.path))
    contents = f"{clip.kept.card.contents} {heads.card.contents}"
    return InCtrlModel(clip.towers, module, contents=contents, heads_sha256=heads.sha256)
