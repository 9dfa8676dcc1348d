"""What methods that compare patches share behind the model seam, so that a method's file reads like its paper.

A `PatchMethod` sees patch tokens alone: framing, tiles, the backbone, the order of the normals and leaving one out are
the `PatchDetector`'s.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from PIL import Image

from scorer.backbones.device_resize import framing_identity, pixel_batch, resizes_on_device
from scorer.backbones.protocol import CropsPadding, PatchBackbone
from scorer.detectors.protocol import References, RgbImage, Scores
from scorer.detectors.station_groups import StationGroups, score_groups_separately
from scorer.errors import InvalidNormalSet
from scorer.imaging.framing import CellBox, Framed, Framing

MIN_NORMALS, MAX_NORMALS = 2, 64
ENCODE_BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class Patches:
    """Patch tokens of B pictures.

    tokens: (L, B, P, W) float32 as the backbone gives them. looked_at: (B, P) bool, False in a letterbox's bars.
    grid: rows and columns, P of them. copies: pictures that belong together, one after another: each normal and its
    turned copies, the normal itself first. exact: the same tokens without rounding, where `tokens` come from a network
    in bf16; None where they are exact themselves.
    """

    tokens: torch.Tensor
    valid_mask: torch.Tensor
    grid: tuple[int, int]
    copies: int = 1
    exact: torch.Tensor | None = None

    @property
    def pictures(self) -> int:
        """How many there are, copies not counted."""
        return len(self.valid_mask) // self.copies

    def take(self, places: Sequence[int]) -> "Patches":
        """Those pictures, with all their copies, in that order."""
        kept = torch.tensor([place * self.copies + copy for place in places for copy in range(self.copies)])
        kept = kept.to(self.valid_mask.device)
        exact = None if self.exact is None else self.exact[:, kept]
        return Patches(self.tokens[:, kept], self.valid_mask[kept], self.grid, self.copies, exact)

    def without(self, place: int) -> "Patches":
        """All pictures but one and its copies."""
        return self.take([other for other in range(self.pictures) if other != place])

    def originals(self) -> "Patches":
        """The pictures as they are, without turned copies."""
        exact = None if self.exact is None else self.exact[:, :: self.copies]
        return Patches(self.tokens[:, :: self.copies], self.valid_mask[:: self.copies], self.grid, exact=exact)

    @property
    def nbytes(self) -> int:
        """Bytes of tokens and masks in memory."""
        return self.tokens.nbytes + self.valid_mask.nbytes + (0 if self.exact is None else self.exact.nbytes)

    @classmethod
    def concatenate(cls, parts: Sequence["Patches"], copies: int = 1) -> "Patches":
        """Join batches of one grid, none of them with `exact` tokens; `copies` is that of the result."""
        tokens = torch.cat([part.tokens for part in parts], dim=1)
        return cls(tokens, torch.cat([part.valid_mask for part in parts]), parts[0].grid, copies)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> "Patches":
        """Return what `to_arrays` gave, on the CPU."""
        rows, columns = arrays["grid"].tolist()
        return cls(torch.from_numpy(arrays["tokens"]), torch.from_numpy(arrays["valid_mask"]), (rows, columns))

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return tokens (L, B, P, W), float32, valid_mask (B, P), bool, and grid (2,), without `exact` and `copies`."""
        return {
            "tokens": self.tokens.cpu().numpy(),
            "valid_mask": self.valid_mask.cpu().numpy(),
            "grid": np.array(self.grid),
        }

    def exactly(self) -> "Patches":
        """What decides a choice among normals, such as a coreset, that hangs on the last digits (docs/adr/0029)."""
        return self if self.exact is None else Patches(self.exact, self.valid_mask, self.grid, self.copies)


@dataclass(frozen=True, slots=True)
class PatchScores:
    """What a method says of B pictures: image scores (B,), maps (B, P), components (B,) each."""

    image: torch.Tensor
    maps: torch.Tensor
    components: Mapping[str, torch.Tensor]


MethodConfig = Mapping[str, float | str | bool]


class PatchMethod(Protocol):
    """A way to tell from patch tokens how far pictures are from the normals; it holds no state of a station.

    `judge` of a batch equals that of its pictures one by one. Values of cells that are not looked at must neither
    enter a score nor what is kept; their map values are 0.
    """

    @property
    def name(self) -> str:
        """As in the registry, such as ``patchcore``."""

    @property
    def configuration(self) -> MethodConfig:
        """All that its scores depend on beside tokens: part of the model id."""

    @property
    def turns(self) -> tuple[int, ...]:
        """Degrees by which copies of the normals are turned, 0 first; ``(0,)`` where it takes them as they are."""

    def fit(self, normals: Patches) -> Mapping[str, torch.Tensor]:
        """What is kept of one or more normals, ready to be a safetensors file."""

    def judge(self, queries: Patches, fitted: Mapping[str, torch.Tensor]) -> PatchScores:
        """Compare pictures with what was kept."""

    def left_out(self, normals: Patches, fitted: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The score of each of K ≥ 2 normals against the others, (K,); see `refitted`."""


@runtime_checkable
class ScoresStationGroups(Protocol):
    """A method that compares pictures of several stations at once, for less than one after another."""

    def score_groups(self, queries: Patches, runs: Sequence[tuple[int, Mapping[str, torch.Tensor]]]) -> PatchScores:
        """As `judge`; runs: how many pictures of a station come next, and what was kept of its normals."""


def leave_one_out_by_refitting(method: PatchMethod, normals: Patches) -> torch.Tensor:
    """Leave one out as it is meant: what is kept is made anew without each normal. (K,)."""
    originals = normals.originals()
    scores = [
        method.judge(originals.take([place]), method.fit(normals.without(place))).image
        for place in range(normals.pictures)
    ]
    return torch.cat(scores)


class PatchDetector:
    """A patch method on a backbone, as a `Detector`; float32, a batch's scores equal the single ones."""

    def __init__(
        self,
        method: PatchMethod,
        backbone: PatchBackbone,
        framing: Framing,
        exact: Callable[[], PatchBackbone] | None = None,
    ) -> None:
        """`exact` gives the same backbone in fp32 where `backbone` rounds; see `Patches.exactly`."""
        self.name = method.name
        self.method = method
        self._backbone = backbone
        self._exact = exact
        self._framing = framing
        self._crop_padding = crops_padding(backbone, framing)
        self.weights_sha256 = backbone.weights_sha256
        configuration = [
            method.name,
            dict(method.configuration),
            list(method.turns),
            backbone.name,
            dict(backbone.configuration),
            backbone.weights_sha256,
            framing_identity(framing, backbone.device),
            *([] if exact is None else ["chosen in fp32"]),
            *(["bars left out"] if self._crop_padding else []),
        ]
        self.model_id = sha256(json.dumps(configuration).encode()).hexdigest()

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Fit 2 to 64 normals; raises `InvalidNormalSet` for another number. The object's name says nothing here."""
        if not MIN_NORMALS <= len(normals) <= MAX_NORMALS:
            raise InvalidNormalSet(
                f"The detector {self.name} compares with {MIN_NORMALS} to {MAX_NORMALS} normal images; this set "
                f"has {len(normals)}."
            )
        order = sorted(range(len(normals)), key=lambda place: sha256(normals[place].tobytes()).digest())
        sorted_normals = [normals[place] for place in order]
        by_order = self.references_of(self.normal_patches(sorted_normals))
        scores = dict(zip(order, by_order.normal_scores, strict=True))
        return References(self.model_id, by_order.tensors, tuple(scores[place] for place in range(len(normals))))

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """As the framing needs for the backbone's size."""
        return self._framing.target_size(height, width, self._backbone.size)

    def prepare(self, picture: RgbImage) -> Framed:
        """Frame for the backbone."""
        size, grid = self._backbone.size, self._backbone.grid
        later = resizes_on_device(self._backbone.device)
        return self._framing.prepare(picture, size, grid, crop_padding=self._crop_padding, later=later)

    def score(self, pictures: Sequence[RgbImage], references: References) -> Scores:
        """Score pictures of one station."""
        return self.judge(self.patches(pictures), references)

    @torch.inference_mode()
    def references_of(self, normals: Patches) -> References:
        """Fit normals that are tokens already; what is kept depends on their order, `references` sorts them."""
        fitted = self.method.fit(normals)
        return References(self.model_id, fitted, tuple(self.method.left_out(normals, fitted).tolist()))

    @torch.inference_mode()
    def judge(self, encoded: Patches, references: References) -> Scores:
        """Score pictures that are tokens already."""
        judged = self.method.judge(encoded, references.tensors)
        return Scores(judged.image, judged.maps.view(-1, *encoded.grid), judged.components)

    @torch.inference_mode()
    def score_each(self, encoded: Patches, references: Sequence[References]) -> Scores:
        """Score pictures of several stations, together where the method can."""
        if not isinstance(self.method, ScoresStationGroups):
            return score_groups_separately(encoded, references, self.judge)
        runs = StationGroups.of(references)
        stations = [(count, its.tensors) for count, its in runs.stations]
        judged = self.method.score_groups(runs.sorted(encoded), stations)
        return runs.back(Scores(judged.image, judged.maps.view(-1, *encoded.grid), judged.components))

    def normal_patches(self, normals: Sequence[RgbImage]) -> Patches:
        """Tokens of normals and of the turned copies that the method asks for, exact ones beside rounded ones."""
        turns = self.method.turns
        pictures = [rotated(normal, degrees) for normal in normals for degrees in turns]
        found = self.patches(pictures)
        exact = None if self._exact is None else self.exact_patches(pictures).tokens
        return Patches(found.tokens, found.valid_mask, found.grid, len(turns), exact)

    def patches(self, pictures: Sequence[RgbImage]) -> Patches:
        """Tokens of pictures."""
        return self.encode([self.prepare(picture) for picture in pictures])

    def exact_patches(self, pictures: Sequence[RgbImage]) -> Patches:
        """Tokens of pictures without rounding, whatever the backbone computes in."""
        exact = self._backbone if self._exact is None else self._exact()
        return self._encode([self.prepare(picture) for picture in pictures], exact)

    def encode(self, framed: Sequence[Framed]) -> Patches:
        """Tokens of framed pictures, those of a picture's tiles put together to one grid."""
        return self._encode(framed, self._backbone)

    @torch.inference_mode()
    def _encode(self, framed: Sequence[Framed], backbone: PatchBackbone) -> Patches:
        tiles, rows = self._framing.tiles, backbone.grid[0]
        tokens = rearrange(_tokens(framed, backbone), "l (b r c) (h w) d -> l b (r h c w) d", r=tiles, c=tiles, h=rows)
        cells = torch.from_numpy(np.stack([one.cells for one in framed]))
        valid_mask = cells.flatten(1).to(backbone.device)
        return Patches(tokens, valid_mask, (rows * tiles, backbone.grid[1] * tiles))


def crops_padding(backbone: PatchBackbone, framing: Framing) -> bool:
    """Whether there are bars, and the backbone need not see them: tokens beside them then are others."""
    return framing.has_padding and isinstance(backbone, CropsPadding)


def _tokens(framed: Sequence[Framed], backbone: PatchBackbone) -> torch.Tensor:
    """Of all tiles in order, (layers, tiles, patches, width); pictures of the same cells go together."""
    places: dict[CellBox | None, list[int]] = {}
    for place, one in enumerate(framed):
        places.setdefault(one.box, []).append(place)
    parts = [
        _within(box, pixels, backbone)
        for box, some in places.items()
        for pixels in torch.split(pixel_batch([framed[place] for place in some], backbone.device), ENCODE_BATCH_SIZE)
    ]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    if len(places) == 1:
        return whole
    order = torch.tensor([place for some in places.values() for place in some])  # a box has one tile a picture
    return whole[:, order.argsort().to(whole.device)]


def _within(box: CellBox | None, pixels: torch.Tensor, backbone: PatchBackbone) -> torch.Tensor:
    if box is None:
        return backbone.tokens(pixels)
    assert isinstance(backbone, CropsPadding)
    return backbone.tokens_within(pixels, box)


def rotated(picture: RgbImage, degrees: int) -> RgbImage:
    """The picture turned about its centre, to the left; what comes in from outside repeats the edge."""
    if degrees % 360 == 0:
        return picture
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(picture, degrees // 90))
    height, width, _ = picture.shape
    reach = int(np.ceil((np.hypot(height, width) - min(height, width)) / 2)) + 1
    wide = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    whole = Image.fromarray(wide).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(whole)[reach : reach + height, reach : reach + width]


def mean_of_largest(distances: torch.Tensor, share: float) -> torch.Tensor:
    """Mean of the farthest `share` of (N,) distances, at least of one."""
    return distances.topk(max(1, round(len(distances) * share))).values.mean()


def mean_of_largest_per_image(maps: torch.Tensor, seen: torch.Tensor, share: float) -> torch.Tensor:
    """`mean_of_largest` of the patches of each picture that are `seen`, both (B, P): (B,)."""
    counts = [max(1, round(number * share)) for number in seen.sum(dim=1).tolist()]
    largest = maps.masked_fill(~seen, -torch.inf).topk(max(counts), dim=1).values
    if len(set(counts)) == 1:
        return largest.mean(dim=1)
    return torch.stack([values[:count].mean() for values, count in zip(largest, counts, strict=True)])
