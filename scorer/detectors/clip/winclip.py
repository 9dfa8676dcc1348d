"""WinCLIP: CLIP on windows of an image, against texts and against few normals (Jeong et al., "WinCLIP: Zero-/Few-Shot
Anomaly Classification and Segmentation", CVPR 2023, arXiv 2303.14814).

Zero-shot: image and windows are compared with two averaged prompt ensembles; windows give every patch they cover their
score, the harmonic mean within a scale and over scales. Few-shot: patches and windows are held against those of the
normals. The image score is the mean of its own text score and the largest value of the few-shot map. Temperature and
the mean over few-shot scales are read as anomalib reads them (docs/adr/0023).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch.nn import functional

from scorer.backbones.clip_loader import LoadedClip, load_clip, require_text_tower
from scorer.backbones.clip_windows import ClipWindows
from scorer.backbones.device_resize import framing_identity, pixel_batch, resizes_on_device
from scorer.backbones.openclip import OpenClip
from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.protocol import References, RgbImage, Scores
from scorer.detectors.station_groups import score_groups_separately
from scorer.distances import cosine
from scorer.errors import InvalidNormalSet, ModelUnavailable
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings

WINDOW_SIDES = (2, 3)
"""Windows of 2 × 2 and of 3 × 3 patches; the third scale is the image, or a single patch against the normals'."""

TEMPERATURE = 0.07

MIN_NORMALS, MAX_NORMALS = 2, 64
ENCODE_BATCH_SIZE = 8
EPSILON = 1e-12
"""Stands for 0 under a harmonic mean."""


@dataclass(frozen=True, slots=True)
class ImageViews:
    """B pictures at each of S scales: single patches, then windows of each side.

    embedding: (B, D) of unit length. scales: S of (B, views, width), of unit length. looked_at: S of (B, views) bool,
    whether a view touches the picture; the first is its patches.
    """

    embedding: torch.Tensor
    scales: tuple[torch.Tensor, ...]
    valid_mask: tuple[torch.Tensor, ...]

    def take(self, places: Sequence[int]) -> "ImageViews":
        """Those pictures, in that order."""
        kept = torch.tensor(places, device=self.embedding.device)
        return ImageViews(
            self.embedding[kept],
            tuple(scale[kept] for scale in self.scales),
            tuple(seen[kept] for seen in self.valid_mask),
        )


@dataclass(frozen=True, slots=True)
class ViewBank:
    """Views of the normals at one scale, (M, width), and which normal each is of, (M,)."""

    views: torch.Tensor
    owners: torch.Tensor


class WinClipModel:
    """The model, which any number of stations share: CLIP's towers, and the texts of each noun computed once."""

    def __init__(self, clip: LoadedClip) -> None:
        self.contents = clip.kept.card.contents
        self.weights_sha256 = clip.kept.sha256
        self.towers: OpenClip = clip.towers
        self._clip = clip  # keeps the shared towers in use
        self._windows = ClipWindows(clip.towers, WINDOW_SIDES)
        self._covers = tuple(_covers(cells, prod(clip.towers.grid)) for cells in self._windows.cells)
        self._texts: dict[str, torch.Tensor] = {}

    def texts(self, noun: str) -> torch.Tensor:
        """The mean embedding of the normal and of the anomalous prompts, of unit length, (2, D); kept per noun."""
        if noun not in self._texts:
            asked = prompt_ensemble(noun)
            sides = (self.towers.encode_texts(side).mean(dim=0) for side in (asked.normal, asked.anomaly))
            self._texts[noun] = cosine.to_unit_length(torch.stack(list(sides)))
        return self._texts[noun]

    def see(self, pixels: torch.Tensor, valid_mask: torch.Tensor) -> ImageViews:
        """Pictures (B, 3, H, W), uint8 RGB at the tower's size; looked_at: (B, P), False in a letterbox's bars."""
        touching = tuple((valid_mask.float() @ covers) > 0 for covers in self._covers)
        seen = self._windows.encode(pixels, touching)
        scales = tuple(cosine.to_unit_length(views) for views in (seen.patches, *seen.windows))
        return ImageViews(cosine.to_unit_length(seen.embedding), scales, (valid_mask, *touching))

    def text_scores(self, embeddings: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """How much nearer unit embeddings (…, D) are to the anomalous prompts than to the normal ones: (…), 0 to 1."""
        return functional.softmax(embeddings @ texts.T / TEMPERATURE, dim=-1)[..., 1]

    def text_map(self, views: ImageViews, texts: torch.Tensor) -> torch.Tensor:
        """The zero-shot map, (B, P): the harmonic mean of the image's score and of each scale's windows."""
        whole = self.text_scores(views.embedding, texts)[:, None].expand_as(views.valid_mask[0])
        scored = (self.text_scores(windows, texts) for windows in views.scales[1:])
        scales = [whole, *(_harmonic(scores, covers) for scores, covers in zip(scored, self._covers, strict=True))]
        return len(scales) / torch.stack([1 / scale.clamp(min=EPSILON) for scale in scales]).sum(dim=0)

    def association_map(self, residuals_of: Sequence[torch.Tensor]) -> torch.Tensor:
        """The few-shot map, (B, P), of each scale's ½(1 − cos) to the nearest view of the normals, S of (B, views)."""
        patches, *windows = residuals_of
        pairs = zip(windows, self._covers, strict=True)
        return torch.stack([patches, *(_harmonic(values, covers) for values, covers in pairs)]).mean(dim=0)


class WinClipDetector:
    """WinCLIP behind the detector seam. Above `coreset_patches` a scale's views are reduced to a greedy coreset."""

    name = "winclip"

    def __init__(self, model: WinClipModel, framing: Framing, coreset_patches: int = 4096) -> None:
        self._model = model
        self._framing = framing
        self._grid = model.towers.grid
        if coreset_patches < (fewest := 2 * prod(self._grid)):
            raise ModelUnavailable(
                f"scorer.coreset_patches is {coreset_patches}; with {model.towers.architecture.model} it must be at "
                f"least {fewest}, the patches of two normals."
            )
        self._coreset_patches = coreset_patches
        self.weights_sha256: str | None = model.weights_sha256
        configuration = [self.name, model.contents, list(WINDOW_SIDES), TEMPERATURE, str(model.towers.dtype)]
        configuration += [framing_identity(framing, model.towers.device), coreset_patches]
        self.model_id = sha256(json.dumps(configuration).encode()).hexdigest()

    @torch.inference_mode()
    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Encode each of 2 to 64 normals once; raises `InvalidNormalSet` for another number, or a framing in tiles."""
        if not MIN_NORMALS <= len(normals) <= MAX_NORMALS:
            raise InvalidNormalSet(
                f"WinCLIP compares with {MIN_NORMALS} to {MAX_NORMALS} normal images; this set has {len(normals)}."
            )
        if self._framing.tiles > 1:
            raise InvalidNormalSet(
                f"WinCLIP looks at a whole picture, and the station's framing is {self._framing}; choose letterbox, "
                "stretch or centre_crop, or a detector that compares patches."
            )
        order = sorted(range(len(normals)), key=lambda place: sha256(normals[place].tobytes()).digest())
        views = self.encode([self.prepare(normals[place]) for place in order])
        banks = [self._bank(scale, seen) for scale, seen in zip(views.scales, views.valid_mask, strict=True)]
        texts = self._model.texts(object_name)
        alone = (views.take([place]) for place in range(len(normals)))
        by_order = [float(self._judge(one, _without(banks, place), texts).image) for place, one in enumerate(alone)]
        scores = dict(zip(order, by_order, strict=True))
        kept = {f"scale {place}": bank.views for place, bank in enumerate(banks)}
        normal_scores = tuple(scores[place] for place in range(len(normals)))
        return References(self.model_id, {"texts": texts, **kept}, normal_scores)

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
    def encode(self, framed: Sequence[Framed]) -> ImageViews:
        """Run the image tower on images and windows, a few pictures at a time."""
        device = self._model.towers.device
        pixels = pixel_batch(framed, self._model.towers.device)
        cells = torch.from_numpy(np.stack([one.cells for one in framed])).flatten(1).to(device)
        pairs = zip(torch.split(pixels, ENCODE_BATCH_SIZE), torch.split(cells, ENCODE_BATCH_SIZE), strict=True)
        parts = [self._model.see(some, seen) for some, seen in pairs]
        return ImageViews(
            torch.cat([part.embedding for part in parts]),
            tuple(torch.cat(scale) for scale in zip(*(part.scales for part in parts), strict=True)),
            tuple(torch.cat(seen) for seen in zip(*(part.valid_mask for part in parts), strict=True)),
        )

    def score_each(self, encoded: ImageViews, references: Sequence[References]) -> Scores:
        """Score pictures of several stations."""
        return score_groups_separately(encoded, references, self.judge)

    @torch.inference_mode()
    def judge(self, encoded: ImageViews, references: References) -> Scores:
        """The component "text" is the zero-shot score, "largest association" the rest of the image score."""
        tensors: Mapping[str, torch.Tensor] = references.tensors
        banks = [tensors[f"scale {place}"] for place in range(len(encoded.scales))]
        return self._judge(encoded, banks, tensors["texts"])

    def _judge(self, views: ImageViews, banks: Sequence[torch.Tensor], texts: torch.Tensor) -> Scores:
        """Hold views against those of the normals, (M, width) a scale."""
        pairs = zip(views.scales, banks, strict=True)
        distances = [cosine.nearest_residual(scale[None], bank[None]) for scale, bank in pairs]
        outside = ~views.valid_mask[0]
        association = self._model.association_map(distances).masked_fill(outside, 0)
        maps = (self._model.text_map(views, texts).masked_fill(outside, 0) + association) / 2
        text, largest = self._model.text_scores(views.embedding, texts), association.amax(dim=1)
        components = {"text": text, "largest association": largest}
        return Scores((text + largest) / 2, maps.view(-1, *self._grid), components)

    def _bank(self, scale: torch.Tensor, valid_mask: torch.Tensor) -> ViewBank:
        """Views of K normals, (K, views, width), that touch their picture, no more than the coreset takes."""
        normals = torch.arange(len(scale), device=scale.device)
        views, owners = scale[valid_mask], normals[:, None].expand_as(valid_mask)[valid_mask]
        if len(views) <= self._coreset_patches:
            return ViewBank(views, owners)
        chosen = cosine.greedy_coreset(views, self._coreset_patches)
        return ViewBank(views[chosen], owners[chosen])


_in_use: WeakValueDictionary[int, WinClipModel] = WeakValueDictionary()
"""Models by their shared towers, so that detectors of several framings share one."""


def load(settings: ScorerSettings, device: torch.device, framing: Framing) -> WinClipDetector:
    """WinCLIP on the CLIP that the settings name as backbone; raises `UnsupportedBackbone` for one without a text
    tower."""
    require_text_tower(settings)
    clip = load_clip(settings, device)
    model = _in_use.get(id(clip))
    if model is None:
        model = _in_use[id(clip)] = WinClipModel(clip)
    return WinClipDetector(model, framing, settings.coreset_patches)


def _without(banks: Sequence[ViewBank], normal: int) -> list[torch.Tensor]:
    """The views of all normals but one. A coreset is larger than one normal's views, so some remain."""
    return [bank.views[bank.owners != normal] for bank in banks]


def _covers(cells: torch.Tensor, patches: int) -> torch.Tensor:
    """Which patches each window covers, (patches, windows), 1 or 0, from its cells, (windows, side²)."""
    covered = torch.zeros(len(cells), patches, device=cells.device)
    return covered.scatter_(1, cells, 1).T.contiguous()


def _harmonic(scores: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """Each patch's harmonic mean of the scores of the windows that cover it: (B, windows) to (B, patches)."""
    return covers.sum(dim=1) / ((1 / scores.clamp(min=EPSILON)) @ covers.T)
