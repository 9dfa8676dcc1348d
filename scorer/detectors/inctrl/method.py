"""InCTRL as a whole-image method: the references of a normal set, and the source of its weights."""

from collections.abc import Mapping
from math import prod
from weakref import WeakValueDictionary

import torch

from scorer.backbones.clip_loader import LoadedClip, load_towers
from scorer.backbones.openclip import ImageFeatures
from scorer.backbones.weights.checkpoints import load_into
from scorer.backbones.weights.store import StoredWeights, WeightsStore
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.inctrl.model import InCtrlModel, NormalContext
from scorer.detectors.score_tensors import ScoreTensors
from scorer.detectors.whole_image import ENCODE_BATCH_SIZE, FittedNormals
from scorer.distances.coreset import DEFAULT_CORESET_PATCHES, greedy_coreset, require_coreset_size
from scorer.distances.cosine import leave_one_out_coreset_residual, leave_one_out_residual
from scorer.engines.devices import resolve_device
from scorer.settings import ScorerSettings


class InCtrl:
    """InCTRL on one model, which any number of stations share.

    Above `coreset_patches` a layer's normal patches are reduced to a greedy coreset of that size.
    """

    name = "inctrl"
    normal_batch_size = ENCODE_BATCH_SIZE

    def __init__(self, model: InCtrlModel, coreset_patches: int = DEFAULT_CORESET_PATCHES) -> None:
        """Raise `ModelUnavailable` for a coreset smaller than the patches of two normals."""
        require_coreset_size(coreset_patches, model.backbone.grid, model.backbone.architecture.model)
        self.model = model
        self.weights_sha256 = model.heads_sha256
        self.size, self.grid, self.device = model.backbone.image_size, model.backbone.grid, model.backbone.device
        self.configuration = [model.contents, list(model.blocks), model.backbone.rounding, coreset_patches]
        self._coreset_patches = coreset_patches

    def encode(self, pixels: torch.Tensor, valid_mask: torch.Tensor) -> ImageFeatures:
        """Run the image tower; padding consists of patches like any other, as published."""
        return self.model.encode(pixels)

    def fit(self, normals: ImageFeatures, object_name: str) -> FittedNormals:
        """Store patches, the mean adapted embedding and the texts, and score each normal against the others."""
        context = self.model.context(normals, object_name)
        patches, patch_map = self._reduce(normals.tokens)
        scores = self.model.score_normals(normals, patch_map, context.texts)
        tensors = {"patches": patches, "adapted": context.adapted, "texts": context.texts}
        return FittedNormals(tensors, scores.score)

    def score(self, queries: ImageFeatures, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score encoded images; the components are named after the paper."""
        context = NormalContext(fitted["patches"], fitted["adapted"], fitted["texts"])
        scores = self.model.score(queries, context)
        return ScoreTensors(
            scores.score,
            scores.patch_residual_map,
            {
                "text": scores.text_score,
                "image residual": scores.image_residual_score,
                "holistic": scores.holistic_score,
                "largest patch residual": scores.max_patch_residual,
            },
        )

    def _reduce(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the normal patches to store, (L, M, D), and each normal's residuals to the others' patches, (K, P).

        tokens: (L, K, P, D) at unit length.
        """
        patches = tokens.flatten(1, 2)  # (L, K · P, D)
        if patches.shape[1] <= self._coreset_patches:
            return patches.contiguous(), leave_one_out_residual(tokens)
        chosen = torch.stack([greedy_coreset(layer, self._coreset_patches) for layer in patches])  # (L, M)
        stored = torch.stack([layer[indices] for layer, indices in zip(patches, chosen, strict=True)])
        return stored, leave_one_out_coreset_residual(tokens, stored, owners=chosen // tokens.shape[2])


_models: WeakValueDictionary[tuple[str, str, str, str], InCtrlModel] = WeakValueDictionary()
"""Models in use, by towers, heads, device and engine with precision: detectors of several framings share one."""


def load(settings: ScorerSettings) -> InCtrl:
    """Load InCTRL from the weights folder: the heads that the settings name, or the only ones, with their towers.

    Raises `ModelUnavailable` where the folder lacks either.
    """
    device, store = resolve_device(settings.device), WeightsStore(settings.weights_path)
    heads = store.heads(settings.inctrl_heads or None)
    towers = store.tower(str(heads.card.backbone))
    key = towers.sha256, heads.sha256, str(device), f"{settings.engine} {settings.precision}"
    model = _models.get(key)
    if model is None:
        model = _models[key] = _build(store, load_towers(store, towers, settings, device), heads)
    return InCtrl(model, settings.coreset_patches)


def _build(store: WeightsStore, clip: LoadedClip, weights: StoredWeights) -> InCtrlModel:
    heads = InCtrlHeads(clip.towers.embedding_width, prod(clip.towers.grid))
    load_into(heads, store.tensors(weights), str(weights.path))
    contents = f"{clip.stored.card.contents} {weights.card.contents}"
    return InCtrlModel(clip.towers, heads, contents=contents, heads_sha256=weights.sha256)
