"""The frozen backbones that InCTRL's heads are trained on: any with patch tokens, or CLIP's two towers."""

from collections.abc import Sequence

import numpy as np
import torch

from scorer.backbones.image_resize import frame_image
from scorer.backbones.protocol import PatchBackbone
from scorer.detectors.inctrl.model import InCtrlModel
from scorer.detectors.inctrl.visual import mean_embedding
from scorer.distances import cosine
from scorer.imaging.framing import Framing
from scorer.training.dataset import Picture
from scorer.training.episodes import BackboneFeatures


class FrozenVisualBackbone:
    """A backbone with patch tokens and no texts; letterbox bars take no part."""

    def __init__(self, backbone: PatchBackbone, framing: Framing) -> None:
        self._backbone = backbone
        self._framing = framing
        self.grid = backbone.grid
        self.identity = f"{backbone.name} {backbone.weights_sha256} {dict(backbone.configuration)} {framing.identity}"
        self.width = self.see([np.zeros((*backbone.size, 3), np.uint8)]).embedding.shape[1]

    def see(self, pictures: Sequence[Picture]) -> BackboneFeatures:
        """As the detector `inctrl-visual` sees them."""
        size = self._backbone.size
        framed = np.stack([frame_image(self._framing, picture, size) for picture in pictures])
        cells = np.stack([self._framing.valid_mask(*picture.shape[:2], size, self.grid) for picture in pictures])
        valid_mask = torch.from_numpy(cells).flatten(1).to(self._backbone.device)
        tokens = cosine.to_unit_length(self._backbone.tokens(torch.from_numpy(framed).permute(0, 3, 1, 2)))
        return BackboneFeatures(tokens, valid_mask, mean_embedding(tokens, valid_mask))

    def text_scores(self, embedding: torch.Tensor, noun: str) -> None:
        """There are none."""


class FrozenClipBackbone:
    """CLIP's towers as `inctrl` uses them; bars are patches like any other, as published."""

    def __init__(self, model: InCtrlModel, framing: Framing) -> None:
        self._model = model
        self._framing = framing
        self.grid = model.backbone.grid
        self.width = model.backbone.embedding_width
        self.identity = f"{model.contents} {model.blocks} {model.backbone.dtype} {framing.identity}"

    def see(self, pictures: Sequence[Picture]) -> BackboneFeatures:
        """As the detector `inctrl` sees them."""
        size = self._model.backbone.image_size
        framed = np.stack([frame_image(self._framing, picture, size) for picture in pictures])
        encoded = self._model.encode(torch.from_numpy(framed).permute(0, 3, 1, 2))
        everywhere = torch.ones(encoded.tokens.shape[1:3], dtype=torch.bool, device=encoded.tokens.device)
        return BackboneFeatures(encoded.tokens, everywhere, encoded.embedding)

    def text_scores(self, embedding: torch.Tensor, noun: str) -> torch.Tensor:
        """From the ensembles of prompts about that noun."""
        return self._model.text_scores(embedding, self._model.texts(noun))
