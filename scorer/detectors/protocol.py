"""The model seam: every method is a `Detector`, and its callers see numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from imaging.rgb import RgbImage
from scorer.imaging.framing import Framed
from storage.areas.masks import Mask

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class References:
    """The references that a detector computes once from a normal set.

    Attributes:
        model_id: The model that computed them, and the only one that can use them.
        tensors: All that scoring needs, on the detector's device; opaque to callers, who save and load them with
            `scorer.detectors.reference_file`.
        normal_scores: The image score of each of the K normals against the other K − 1, in the order of the normals;
            a threshold is calibrated from them.
    """

    model_id: str
    tensors: "Mapping[str, torch.Tensor]"
    normal_scores: tuple[float, ...]

    @property
    def size_bytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


@dataclass(frozen=True, slots=True)
class Scores:
    """Anomaly scores of B images; the higher, the less an image looks like the normals.

    Attributes:
        image_scores: (B,) float32.
        anomaly_maps: (B, rows, columns) float32, over the cells of each image as it was framed; 0 in padding.
        components: The terms of the image score, by name, each (B,) float32; NaN for an image to which a term does not
            apply.
    """

    image_scores: FloatArray
    anomaly_maps: FloatArray
    components: Mapping[str, FloatArray]


class Detector(Protocol):
    """One model with its preprocessing, which nothing changes after loading.

    `score` takes images of one station. A worker splits it in two: `prepare` on any thread, then `score_prepared` for
    a batch that may mix stations, which is `encode` and then `score_features`. The scores of a batch equal those of its
    images one by one, and the order of the normals does not matter.

    A detector whose references do not depend on the object's name has an attribute `uses_object_name` that is False: a
    station's threshold then stays when its object is renamed.
    """

    @property
    def name(self) -> str:
        """Name in the registry and on screen, such as ``nearest-patch``."""

    @property
    def model_id(self) -> str:
        """A hash of weights and configuration: equal ids give equal scores."""

    @property
    def weights_sha256(self) -> str | None:
        """The sha256 of the weights file; None for a model without learned weights."""

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        """Compute references from 2 to 64 normal images.

        Args:
            normals: Images of good parts, of any shape, in any order.
            object_name: The inspected object, the noun of text prompts; detectors without texts ignore it.

        Raises:
            InvalidNormalSet: There are fewer or more normals, or the station's framing does not suit the detector.
        """

    def score(self, images: Sequence[RgbImage], references: References) -> Scores:
        """Score images of one station against its references, one score per image."""

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width, in pixels, above which more pixels of such an image hardly change a score."""

    def prepare(self, image: RgbImage) -> Framed:
        """Bring an image to the shape that the network takes; safe from any thread."""

    def encode(self, framed: Sequence[Framed]) -> Any:
        """Run the network on prepared images; the result is opaque and of use to `score_features` alone."""

    def score_features(self, features: Any, references: Sequence[References]) -> Scores:
        """Score the result of `encode`, each image against its own station's references; see `score_prepared`."""

    def score_prepared(self, framed: Sequence[Framed], references: Sequence[References]) -> Scores:
        """Score prepared images, each against its own station's references.

        Args:
            framed: Images of any number of stations, as `prepare` returned them.
            references: One entry per image, the same object for all images of a station.
        """


@runtime_checkable
class TakesMask(Protocol):
    """A detector that can leave parts of a station's pictures out; a plug-in need not."""

    def with_mask(self, mask: Mask) -> Detector:
        """Return the same detector for a station with a mask.

        Its `prepare` and `references` leave out what the mask ignores: such cells are False in `Framed.cells`, and
        their pixels have no influence. Images that it prepared may be scored by the detector without the mask.
        """
