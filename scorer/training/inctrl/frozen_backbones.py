"""The frozen backbones that InCTRL's heads are trained on: any with patch tokens, or the two towers of a CLIP."""

from collections.abc import Sequence

import numpy as np
import torch

from imaging.rgb import RgbImage
from scorer.backbones.image_resize import frame_image
from scorer.backbones.protocol import PatchBackbone
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.inctrl.visual import mean_embedding
from scorer.distances import cosine
from scorer.imaging.framing import Framing
from scorer.training.inctrl.episodes import BackboneFeatures


class FrozenVisualBackbone:
    """A `FrozenBackbone` with patch tokens and no text tower; padding is masked."""

    def __init__(self, backbone: PatchBackbone, framing: Framing) -> None:
        """Wrap `backbone`, whose images are framed by `framing`."""
        self._backbone = backbone
        self._framing = framing
        self.grid = backbone.grid
        self.identity = f"{backbone.name} {backbone.weights_sha256} {dict(backbone.configuration)} {framing.identity}"
        self.width = self.encode([np.zeros((*backbone.size, 3), np.uint8)]).embedding.shape[1]

    def encode(self, images: Sequence[RgbImage]) -> BackboneFeatures:
        """Encode images as the detector `inctrl-visual` does."""
        size = self._backbone.size
        framed = np.stack([frame_image(self._framing, image, size) for image in images])
        cells = np.stack([self._framing.valid_mask(*image.shape[:2], size, self.grid) for image in images])
        valid_mask = torch.from_numpy(cells).flatten(1).to(self._backbone.device)
        tokens = cosine.to_unit_length(self._backbone.tokens(torch.from_numpy(framed).permute(0, 3, 1, 2)))
        return BackboneFeatures(tokens, valid_mask, mean_embedding(tokens, valid_mask))

    def text_scores(self, embedding: torch.Tensor, noun: str) -> None:
        """Return None, since it has no text tower."""


class FrozenClipBackbone:
    """A `FrozenBackbone` of the towers of a CLIP; padding counts as image, as published."""

    def __init__(self, model: InCtrlModel, framing: Framing) -> None:
        """Wrap the towers of `model`, whose images are framed by `framing`."""
        self._model = model
        self._framing = framing
        self.grid = model.backbone.grid
        self.width = model.backbone.embedding_width
        self.identity = f"{model.contents} {model.blocks} {model.backbone.dtype} {framing.identity}"

    def encode(self, images: Sequence[RgbImage]) -> BackboneFeatures:
        """Encode images as the detector `inctrl` does."""
        size = self._model.backbone.image_size
        framed = np.stack([frame_image(self._framing, image, size) for image in images])
        encoded = self._model.encode(torch.from_numpy(framed).permute(0, 3, 1, 2))
        valid_mask = torch.ones(encoded.tokens.shape[1:3], dtype=torch.bool, device=encoded.tokens.device)
        return BackboneFeatures(encoded.tokens, valid_mask, encoded.embedding)

    def text_scores(self, embedding: torch.Tensor, noun: str) -> torch.Tensor:
        """Return the scores (B,) of embeddings against the prompt ensembles about a noun."""
        return self._model.text_scores(embedding, self._model.texts(noun))
