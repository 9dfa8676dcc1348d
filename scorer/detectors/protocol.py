"""The model seam: everything that scores stands behind `Detector`, and nothing outside this room knows torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from scorer.imaging.framing import Framed

RgbImage = npt.NDArray[np.uint8]
"""One decoded image, (height, width, 3), RGB."""


@dataclass(frozen=True, slots=True)
class References:
    """What a detector computes once from a normal set.

    `tensors` is all of it, on the detector's device, ready to be kept as safetensors; `normal_scores` are the image
    scores of each normal against the others (leave one out), (K,), float32, from which a threshold is calibrated.
    """

    model_id: str
    tensors: Mapping[str, torch.Tensor]
    normal_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of a batch: the higher, the less it looks like the normals.

    image: (B,) float32. maps: (B, grid rows, grid columns) float32 over the picture as framed. components: what the
    image score is made of, each (B,).
    """

    image: torch.Tensor
    maps: torch.Tensor
    components: Mapping[str, torch.Tensor]


class EncodedBatch(Protocol):
    """What a network made of a batch, before it is held against anybody's normals."""

    def take(self, places: Sequence[int]) -> Self:
        """Those pictures of the batch, in that order."""


class Detector(Protocol):
    """One model with its preprocessing; nothing here changes it.

    A picture's way is prepare, encode, judge: the first on any thread, the others for a batch that may mix stations
    (`score_each`). `score` is all three for pictures of one station. A batch's scores equal the scores of its pictures
    one by one, and the order of the normals does not matter.
    """

    @property
    def name(self) -> str:
        """As in the registry and on screen, such as ``nearest-patch``."""

    @property
    def model_id(self) -> str:
        """A hash of weights and configuration: equal ids score equally."""

    @property
    def weights_sha256(self) -> str | None:
        """Of the weights file; None for a model that has no learned weights."""

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Compute references; raises `InvalidNormalSet` for fewer than two normals.

        `object_name` is what the station looks at, the noun of text prompts; a detector without texts ignores it.
        """

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width above which more pixels of a picture of that shape change hardly a score."""

    def prepare(self, picture: RgbImage) -> Framed:
        """Bring a picture to the shape that the network takes; safe from any thread."""

    def encode(self, framed: Sequence[Framed]) -> EncodedBatch:
        """Run the network."""

    def judge(self, encoded: Any, references: References) -> Scores:
        """Score what this detector's `encode` gave against a station's references."""

    def score_each(self, encoded: Any, references: Sequence[References]) -> Scores:
        """The same for pictures of several stations: references for each picture, one object a station."""

    def score(self, pictures: Sequence[RgbImage], references: References) -> Scores:
        """Score pictures of one station against that station's references."""
