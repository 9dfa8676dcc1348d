"""WinCLIP: CLIP on windows of an image, against texts and against few normals (Jeong et al., "WinCLIP: Zero-/Few-Shot
Anomaly Classification and Segmentation", CVPR 2023, arXiv 2303.14814).

Zero-shot: image and windows are compared with two averaged prompt ensembles; windows give every patch that they cover
their score, the harmonic mean within a scale and over scales. Few-shot: patches and windows are compared with those of
the normals. The image score is the mean of its own text score and the largest value of the few-shot map. Temperature
and the mean over few-shot scales are read as anomalib reads them (docs/adr/0023).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from weakref import WeakValueDictionary

import torch
from torch.nn import functional

from scorer.backbones.clip_loader import LoadedClip, load_clip, require_text_tower
from scorer.backbones.clip_windows import ClipWindows
from scorer.backbones.openclip import OpenClip
from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.score_tensors import ScoreTensors
from scorer.detectors.whole_image import ENCODE_BATCH_SIZE, FittedNormals
from scorer.distances.coreset import DEFAULT_CORESET_PATCHES, greedy_coreset, require_coreset_size
from scorer.distances.cosine import nearest_residual, to_unit_length
from scorer.engines.devices import resolve_device
from scorer.settings import ScorerSettings

WINDOW_SIDES = (2, 3)
"""Windows of 2 × 2 and of 3 × 3 patches; the third scale is the image, or a single patch among the normals'."""

TEMPERATURE = 0.07

EPSILON = 1e-12
"""Stands for 0 under a harmonic mean."""


@dataclass(frozen=True, slots=True)
class ImageViews:
    """B images at each of S scales: single patches, then windows of each side.

    Attributes:
        embedding: Of whole images, (B, E) at unit length.
        scales: S of (B, views, D) at unit length.
        valid_mask: S of (B, views) bool, whether a view touches the image and not only padding; the first is of
            patches.
    """

    embedding: torch.Tensor
    scales: tuple[torch.Tensor, ...]
    valid_mask: tuple[torch.Tensor, ...]

    def take(self, positions: Sequence[int]) -> "ImageViews":
        """Return the views of those images, in that order."""
        chosen = torch.tensor(positions, device=self.embedding.device)
        return ImageViews(
            self.embedding[chosen],
            tuple(scale[chosen] for scale in self.scales),
            tuple(mask[chosen] for mask in self.valid_mask),
        )

    @classmethod
    def concat(cls, parts: Sequence["ImageViews"]) -> "ImageViews":
        """Join the views of several batches."""
        return cls(
            torch.cat([part.embedding for part in parts]),
            tuple(torch.cat(scale) for scale in zip(*(part.scales for part in parts), strict=True)),
            tuple(torch.cat(mask) for mask in zip(*(part.valid_mask for part in parts), strict=True)),
        )


@dataclass(frozen=True, slots=True)
class ViewBank:
    """Views of the normals at one scale, (M, D), and which normal each is of, (M,)."""

    views: torch.Tensor
    owners: torch.Tensor


class WinClipModel:
    """CLIP's towers, and the texts of each noun computed once; any number of stations share it."""

    def __init__(self, clip: LoadedClip) -> None:
        self.contents = clip.stored.card.contents
        self.weights_sha256 = clip.stored.sha256
        self.towers: OpenClip = clip.towers
        self._clip = clip  # keeps the shared towers in use
        self._windows = ClipWindows(clip.towers, WINDOW_SIDES)
        self._coverage = tuple(_coverage(cells, prod(clip.towers.grid)) for cells in self._windows.cells)
        self._texts: dict[str, torch.Tensor] = {}

    def texts(self, noun: str) -> torch.Tensor:
        """Return the mean embeddings of the normal and of the anomalous prompts, at unit length: (2, E).

        Computed once per noun.
        """
        if noun not in self._texts:
            prompts = prompt_ensemble(noun)
            sides = (self.towers.encode_texts(side).mean(dim=0) for side in (prompts.normal, prompts.anomaly))
            self._texts[noun] = to_unit_length(torch.stack(list(sides)))
        return self._texts[noun]

    def encode(self, pixels: torch.Tensor, valid_mask: torch.Tensor) -> ImageViews:
        """Encode images (B, 3, H, W), uint8 RGB at the tower's size; valid_mask (B, P) is False in padding."""
        touching = tuple((valid_mask.float() @ coverage) > 0 for coverage in self._coverage)
        features = self._windows.encode(pixels, touching)
        scales = tuple(to_unit_length(views) for views in (features.patches, *features.windows))
        return ImageViews(to_unit_length(features.embedding), scales, (valid_mask, *touching))

    def text_scores(self, embeddings: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Return how much nearer unit embeddings (…, E) are to the anomalous prompts than to the normal ones.

        Returns (…), 0 to 1.
        """
        return functional.softmax(embeddings @ texts.T / TEMPERATURE, dim=-1)[..., 1]

    def text_map(self, views: ImageViews, texts: torch.Tensor) -> torch.Tensor:
        """Return the zero-shot map, (B, P): the harmonic mean of the image's score and of each scale's windows."""
        image_scores = self.text_scores(views.embedding, texts)[:, None].expand_as(views.valid_mask[0])
        by_window = (self.text_scores(windows, texts) for windows in views.scales[1:])
        by_patch = (_harmonic(scores, covers) for scores, covers in zip(by_window, self._coverage, strict=True))
        scales = [image_scores, *by_patch]
        return len(scales) / torch.stack([1 / scale.clamp(min=EPSILON) for scale in scales]).sum(dim=0)

    def association_map(self, residuals: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the few-shot map, (B, P), of each scale's residuals to the nearest view of the normals, (B, views)."""
        patches, *windows = residuals
        by_patch = (_harmonic(values, covers) for values, covers in zip(windows, self._coverage, strict=True))
        return torch.stack([patches, *by_patch]).mean(dim=0)


class WinClip:
    """WinCLIP as a whole-image method. Above `coreset_patches` a scale's views are reduced to a greedy coreset."""

    name = "winclip"
    normal_batch_size = ENCODE_BATCH_SIZE

    def __init__(self, model: WinClipModel, coreset_patches: int = DEFAULT_CORESET_PATCHES) -> None:
        """Raise `ModelUnavailable` for a coreset smaller than the patches of two normals."""
        towers = model.towers
        require_coreset_size(coreset_patches, towers.grid, towers.architecture.model)
        self.model = model
        self.weights_sha256: str | None = model.weights_sha256
        self.size, self.grid, self.device = towers.image_size, towers.grid, towers.device
        self.configuration = [model.contents, list(WINDOW_SIDES), TEMPERATURE, str(towers.dtype), coreset_patches]
        self._coreset_patches = coreset_patches

    def encode(self, pixels: torch.Tensor, valid_mask: torch.Tensor) -> ImageViews:
        """Run the image tower on images and on their windows that touch the image."""
        return self.model.encode(pixels, valid_mask)

    def fit(self, normals: ImageViews, object_name: str) -> FittedNormals:
        """Store the views of each scale and the texts, and score each normal against the views of the others."""
        banks = [self._bank(scale, mask) for scale, mask in zip(normals.scales, normals.valid_mask, strict=True)]
        texts = self.model.texts(object_name)
        scores = [
            self._compare(normals.take([normal]), _without(banks, normal), texts).image
            for normal in range(len(normals.embedding))
        ]
        stored = {f"scale {number}": bank.views for number, bank in enumerate(banks)}
        return FittedNormals({"texts": texts, **stored}, torch.cat(scores))

    def score(self, queries: ImageViews, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score encoded images; "text" is the zero-shot score, "largest association" the rest of the image score."""
        banks = [fitted[f"scale {number}"] for number in range(len(queries.scales))]
        return self._compare(queries, banks, fitted["texts"])

    def _compare(self, views: ImageViews, banks: Sequence[torch.Tensor], texts: torch.Tensor) -> ScoreTensors:
        """Compare views with those of the normals, (M, D) per scale."""
        pairs = zip(views.scales, banks, strict=True)
        residuals = [nearest_residual(scale[None], bank[None]) for scale, bank in pairs]
        padding = ~views.valid_mask[0]
        association = self.model.association_map(residuals).masked_fill(padding, 0)
        maps = (self.model.text_map(views, texts).masked_fill(padding, 0) + association) / 2
        text, largest = self.model.text_scores(views.embedding, texts), association.amax(dim=1)
        return ScoreTensors((text + largest) / 2, maps, {"text": text, "largest association": largest})

    def _bank(self, scale: torch.Tensor, valid_mask: torch.Tensor) -> ViewBank:
        """Return the views of K normals, (K, views, D), that touch their image, reduced to the coreset's size."""
        normals = torch.arange(len(scale), device=scale.device)
        views, owners = scale[valid_mask], normals[:, None].expand_as(valid_mask)[valid_mask]
        if len(views) <= self._coreset_patches:
            return ViewBank(views, owners)
        chosen = greedy_coreset(views, self._coreset_patches)
        return ViewBank(views[chosen], owners[chosen])


_models: WeakValueDictionary[int, WinClipModel] = WeakValueDictionary()
"""Models in use by their shared towers, so that detectors of several framings share one."""


def load(settings: ScorerSettings) -> WinClip:
    """Load WinCLIP on the CLIP that the settings name as backbone.

    Raises `UnsupportedBackbone` for a backbone without a text tower, `ModelUnavailable` without its weights.
    """
    require_text_tower(settings)
    clip = load_clip(settings, resolve_device(settings.device))
    model = _models.get(id(clip))
    if model is None:
        model = _models[id(clip)] = WinClipModel(clip)
    return WinClip(model, settings.coreset_patches)


def _without(banks: Sequence[ViewBank], normal: int) -> list[torch.Tensor]:
    """Return the views of all normals but one. A coreset is larger than one normal's views, so some remain."""
    return [bank.views[bank.owners != normal] for bank in banks]


def _coverage(cells: torch.Tensor, patches: int) -> torch.Tensor:
    """Return which patches each window covers, (P, windows), 1 or 0, from its cells, (windows, side²)."""
    covered = torch.zeros(len(cells), patches, device=cells.device)
    return covered.scatter_(1, cells, 1).T.contiguous()


def _harmonic(scores: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """Return each patch's harmonic mean of the scores of the windows that cover it: (B, windows) to (B, P)."""
    return coverage.sum(dim=1) / ((1 / scores.clamp(min=EPSILON)) @ coverage.T)
