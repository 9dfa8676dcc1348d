"""A method that compares patches, on a backbone with one station's framing, behind the model seam."""

import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from hashlib import sha256
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange

from imaging.rgb import RgbImage
from scorer.backbones.preprocessing import Preprocessor
from scorer.backbones.protocol import CropsPadding, PatchBackbone
from scorer.detectors.capabilities.defect_term import DefectTerm, Evidence
from scorer.detectors.normal_sets import in_original_order, order_by_content, require_normal_count
from scorer.detectors.patch_based.defect_scores import TERM, add_defect_terms, term_tensor
from scorer.detectors.patch_based.method import GivesEvidence, PatchMethod, ScoresStationGroups
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.patch_based.station_groups import StationGroups, score_groups_separately
from scorer.detectors.protocol import References, Scores
from scorer.imaging.framing import CellBox, Framed, Framing
from storage.areas.masks import Mask

ENCODE_BATCH_SIZE = 16


class PatchDetector:
    """A patch method on a backbone, as a `Detector`; it scores in float32."""

    uses_object_name = False

    def __init__(
        self,
        method: PatchMethod,
        backbone: PatchBackbone,
        framing: Framing,
        fp32_backbone: Callable[[], PatchBackbone] | None = None,
    ) -> None:
        """Join method, backbone and framing.

        Args:
            method: How patches are compared.
            backbone: The network that turns images into patch tokens.
            framing: How images of any shape meet the backbone's one shape.
            fp32_backbone: Returns the same backbone in fp32 where `backbone` rounds; see `Patches.in_fp32`.
        """
        self.name = method.name
        self.method = method
        self.weights_sha256 = backbone.weights_sha256
        self._backbone = backbone
        self._fp32_backbone = fp32_backbone
        self._preprocessor = Preprocessor(
            framing, backbone.size, backbone.grid, backbone.device, crops_padding(backbone, framing)
        )
        identity = [
            method.name,
            dict(method.configuration),
            list(method.rotations),
            backbone.name,
            dict(backbone.configuration),
            backbone.weights_sha256,
            self._preprocessor.identity,
            *([] if fp32_backbone is None else ["fitted in fp32"]),
            *(["padding cropped"] if self._preprocessor.crop_padding else []),
        ]
        self.model_id = sha256(json.dumps(identity).encode()).hexdigest()

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Fit 2 to 64 normals; raises `InvalidNormalSet` for another number. The object's name has no effect."""
        require_normal_count(self.name, len(normals))
        order = order_by_content(normals)
        fitted = self.fit(self.encode_normals([normals[position] for position in order]))
        return References(self.model_id, fitted.tensors, in_original_order(order, fitted.normal_scores))

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
        """Frame an image for the backbone."""
        return self._preprocessor.prepare(image)

    def score_prepared(self, framed: Sequence[Framed], references: Sequence[References]) -> Scores:
        """Score prepared images, each against its own station's references."""
        return self.score_features(self.encode(framed), references)

    @torch.inference_mode()
    def fit(self, normals: Patches) -> References:
        """Compute references from tokens; they depend on the normals' order, which `references` makes the same."""
        fitted = self.method.fit(normals)
        return References(self.model_id, fitted, tuple(self.method.leave_one_out(normals, fitted).tolist()))

    @torch.inference_mode()
    def score_features(self, features: Patches, references: Sequence[References]) -> Scores:
        """Score tokens, each image against its own station's references, all together where the method can."""
        method = self.method
        if isinstance(method, ScoresStationGroups):
            batch = StationGroups.of(references)
            groups = [(count, stored.tensors) for count, stored in batch.groups]
            queries = batch.sort(features)
            scores = batch.restore(add_defect_terms(method, method.score_groups(queries, groups), queries, groups))
        else:
            scores = score_groups_separately(
                features, references, lambda part, stored: method.score(part, stored.tensors)
            )
        return scores.to_numpy(features.grid)

    @property
    def learns_defects(self) -> bool:
        """Whether the method gives evidence, and scores the stations of a batch together."""
        return isinstance(self.method, GivesEvidence) and isinstance(self.method, ScoresStationGroups)

    @torch.inference_mode()
    def evidence(self, features: Patches, references: References) -> Evidence:
        """Compare tokens with references without a term; none of the images is a normal."""
        method = self.method
        assert isinstance(method, GivesEvidence)
        scores = method.score(features, references.tensors)
        evidence = method.evidence(features, scores.maps, references.tensors)
        return Evidence(scores.image.double().cpu().numpy(), evidence.double().cpu().numpy())

    def with_term(self, references: References, term: DefectTerm) -> References:
        """Return references by which images are scored with the term."""
        tensor = term_tensor(term, self._backbone.device)
        return replace(references, tensors={**references.tensors, TERM: tensor})

    @torch.inference_mode()
    def descriptors(self, features: Patches) -> npt.NDArray[np.float64]:
        """Return the mean token of each image, (B, D), by which images are compared with each other."""
        return features.descriptors()

    def encode_normals(self, normals: Sequence[RgbImage]) -> Patches:
        """Encode normals with the rotated copies that the method needs, in fp32 too where the backbone rounds."""
        rotations, backbone = self.method.rotations, self._fp32_backbone
        framed = [self._preprocessor.prepare(normal, degrees) for normal in normals for degrees in rotations]
        patches = self.encode(framed)
        fp32_tokens = None if backbone is None else self._encode(framed, backbone()).tokens
        return Patches(patches.tokens, patches.valid_mask, patches.grid, len(rotations), fp32_tokens)

    def encode_images(self, images: Sequence[RgbImage]) -> Patches:
        """Prepare and encode images."""
        return self.encode([self.prepare(image) for image in images])

    def encode_images_in_fp32(self, images: Sequence[RgbImage]) -> Patches:
        """Prepare and encode images without rounding, whatever the backbone computes in."""
        backbone = self._backbone if self._fp32_backbone is None else self._fp32_backbone()
        return self._encode([self.prepare(image) for image in images], backbone)

    def encode(self, framed: Sequence[Framed]) -> Patches:
        """Encode prepared images; the tiles of an image are joined to one grid."""
        return self._encode(framed, self._backbone)

    @torch.inference_mode()
    def _encode(self, framed: Sequence[Framed], backbone: PatchBackbone) -> Patches:
        tiles, (rows, columns) = self._preprocessor.framing.tiles, backbone.grid
        by_tile = self._tile_tokens(framed, backbone)
        tokens = rearrange(by_tile, "l (b r c) (h w) d -> l b (r h c w) d", r=tiles, c=tiles, h=rows)
        return Patches(tokens, self._preprocessor.valid_mask(framed), (rows * tiles, columns * tiles))

    def _tile_tokens(self, framed: Sequence[Framed], backbone: PatchBackbone) -> torch.Tensor:
        """Encode all tiles of all images, in order: (L, tiles, P, D). Images that show the same cells go together."""
        positions: dict[CellBox | None, list[int]] = {}
        for position, image in enumerate(framed):
            positions.setdefault(image.box, []).append(position)
        batches = [
            _tokens(pixels, box, backbone)
            for box, group in positions.items()
            for pixels in torch.split(
                self._preprocessor.pixels([framed[position] for position in group]), ENCODE_BATCH_SIZE
            )
        ]
        tokens = batches[0] if len(batches) == 1 else torch.cat(batches, dim=1)
        if len(positions) == 1:
            return tokens
        order = torch.tensor([position for group in positions.values() for position in group])  # one tile per image
        return tokens[:, order.argsort().to(tokens.device)]


def crops_padding(backbone: PatchBackbone, framing: Framing) -> bool:
    """Return whether the backbone computes no padding; tokens next to padding then have other values."""
    return framing.has_padding and isinstance(backbone, CropsPadding)


def _tokens(pixels: torch.Tensor, box: CellBox | None, backbone: PatchBackbone) -> torch.Tensor:
    if box is None:
        return backbone.tokens(pixels)
    assert isinstance(backbone, CropsPadding)
    return backbone.tokens_within(pixels, box)
