"""Detectors that compare whole images and have their own network: InCTRL, WinCLIP and CoOp share this adapter.

A `WholeImageMethod` is the network and its arithmetic; framing, batches, the order of the normals and the model seam
are the `WholeImageDetector`'s.
"""

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

import torch

from imaging.rgb import RgbImage
from scorer.backbones.preprocessing import Preprocessor
from scorer.detectors.normal_sets import in_original_order, order_by_content, require_normal_count
from scorer.detectors.patch_based.station_groups import score_groups_separately
from scorer.detectors.protocol import References, Scores
from scorer.detectors.score_tensors import ScoreTensors
from scorer.errors import InvalidNormalSet
from scorer.imaging.framing import Framed, Framing
from storage.areas.masks import Mask

ENCODE_BATCH_SIZE = 8


class ImageBatch(Protocol):
    """A network's output for a batch of images."""

    def take(self, positions: Sequence[int]) -> Self:
        """Return the features of those images, in that order."""

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Join the features of several batches."""


F = TypeVar("F", bound=ImageBatch)


@dataclass(frozen=True, slots=True)
class FittedNormals:
    """The references that a method computes from K normals.

    Attributes:
        tensors: All that scoring needs, ready for a safetensors file.
        normal_scores: The image score of each normal against the others, (K,).
    """

    tensors: Mapping[str, torch.Tensor]
    normal_scores: torch.Tensor


@runtime_checkable
class WholeImageMethod(Protocol[F]):
    """A network with its arithmetic; it holds no state of a station.

    `score` of a batch equals that of its images one by one. Map values of padding are as the method's paper has them.
    """

    @property
    def name(self) -> str:
        """Name in the registry, such as ``inctrl``."""

    @property
    def configuration(self) -> Sequence[object]:
        """All that its scores depend on but the framing, as JSON values: part of the model id."""

    @property
    def weights_sha256(self) -> str | None:
        """The sha256 of the weights file."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that the network takes, in pixels."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""

    @property
    def device(self) -> torch.device:
        """Where the network runs."""

    @property
    def normal_batch_size(self) -> int:
        """How many normals go through the network together."""

    def encode(self, pixels: torch.Tensor, valid_mask: torch.Tensor) -> F:
        """Run the network on images (B, 3, H, W) uint8; `valid_mask` (B, P) is False in a letterbox's padding."""

    def fit(self, normals: F, object_name: str) -> FittedNormals:
        """Compute references from K ≥ 2 normals and score each against the others."""

    def score(self, queries: F, fitted: Mapping[str, torch.Tensor]) -> ScoreTensors:
        """Score encoded images against a station's references."""


class WholeImageDetector(Generic[F]):
    """A whole-image method with one station's framing, as a `Detector`."""

    uses_object_name = True  # in its texts

    def __init__(self, method: WholeImageMethod[F], framing: Framing) -> None:
        self.name = method.name
        self.method = method
        self._preprocessor = Preprocessor(framing, method.size, method.grid, method.device)
        self.weights_sha256 = method.weights_sha256
        identity = [method.name, *method.configuration, self._preprocessor.identity]
        self.model_id = sha256(json.dumps(identity).encode()).hexdigest()

    @torch.inference_mode()
    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Compute references from 2 to 64 normals; raises `InvalidNormalSet` for another number or for tiles."""
        require_normal_count(self.name, len(normals))
        framing = self._preprocessor.framing
        if framing.tiles > 1:
            raise InvalidNormalSet(
                f"The detector {self.name} looks at whole images, and the station's framing is {framing}; choose "
                "letterbox, stretch or centre_crop, or a detector that compares patches."
            )
        order = order_by_content(normals)
        features = self._encode([self.prepare(normals[position]) for position in order], self.method.normal_batch_size)
        fitted = self.method.fit(features, object_name)
        scores = in_original_order(order, fitted.normal_scores.tolist())
        return References(self.model_id, fitted.tensors, scores)

    def with_mask(self, mask: Mask) -> Self:
        """Return the same detector for a station with a mask: what it ignores enters no reference and no score."""
        masked = copy(self)
        masked._preprocessor = replace(self._preprocessor, mask=mask)
        return masked

    def score(self, images: Sequence[RgbImage], references: References) -> Scores:
        """Score images of one station."""
        return self.score_prepared([self.prepare(image) for image in images], [references] * len(images))

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width, in pixels, above which more pixels hardly change a score."""
        return self._preprocessor.target_size(height, width)

    def prepare(self, image: RgbImage) -> Framed:
        """Frame an image for the network."""
        return self._preprocessor.prepare(image)

    def score_prepared(self, framed: Sequence[Framed], references: Sequence[References]) -> Scores:
        """Score prepared images, each against its own station's references."""
        return self.score_features(self.encode(framed), references)

    def encode(self, framed: Sequence[Framed]) -> F:
        """Run the network on prepared images."""
        return self._encode(framed, ENCODE_BATCH_SIZE)

    @torch.inference_mode()
    def score_features(self, features: F, references: Sequence[References]) -> Scores:
        """Score images that the network has seen, each against its own station's references."""
        scores = score_groups_separately(
            features, references, lambda part, stored: self.method.score(part, stored.tensors)
        )
        return scores.to_numpy(self.method.grid)

    @torch.inference_mode()
    def _encode(self, framed: Sequence[Framed], batch_size: int) -> F:
        pixels, valid_mask = self._preprocessor.pixels(framed), self._preprocessor.valid_mask(framed)
        batches = zip(torch.split(pixels, batch_size), torch.split(valid_mask, batch_size), strict=True)
        parts = [self.method.encode(*batch) for batch in batches]
        return parts[0].concat(parts)
