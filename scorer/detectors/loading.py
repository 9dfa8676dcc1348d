"""Detectors for people who build on this package: loaded by name, with images as arrays, Pillow images or files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from imaging.decode import decode, pixels_of
from imaging.errors import BadImage
from imaging.rgb import RgbImage
from scorer.detectors.protocol import References, Scores
from scorer.errors import InvalidImage
from scorer.imaging.framing import Framing
from scorer.settings import Device, ScorerSettings
from storage.line.stations import FramingKind

if TYPE_CHECKING:
    from scorer.detectors.protocol import Detector

ImageInput = RgbImage | Image.Image | str | Path
"""An RGB array (height, width, 3) uint8, a Pillow image, or the path of an image file."""


class LoadedDetector:
    """A detector with its preprocessing, as `load_detector` returns it; it holds no references of its own.

    The scores of a batch equal those of its images one by one, and the order of the normals does not matter.
    """

    def __init__(self, detector: "Detector", settings: ScorerSettings) -> None:
        """Wrap a detector; the settings limit the size of image files."""
        self._detector = detector
        self._settings = settings

    def __repr__(self) -> str:
        return f"<detector {self.name}, model {self.model_id[:12]}>"

    @property
    def name(self) -> str:
        """The detector's name, such as ``nearest-patch``."""
        return self._detector.name

    @property
    def model_id(self) -> str:
        """A hash of weights and configuration: equal ids give equal scores."""
        return self._detector.model_id

    def references(self, normals: Sequence[ImageInput], object_name: str = "object") -> References:
        """Compute references from 2 to 64 images of good parts.

        Args:
            normals: Images of any shape, in any order.
            object_name: The object that the images show, the noun of text prompts; detectors without texts ignore it.

        Raises:
            InvalidNormalSet: There are fewer or more normals, or the framing does not suit the detector.
            InvalidImage: Something is not an image, or a file cannot be decoded; the message says which.
            OSError: A file cannot be read.
        """
        return self._detector.references(self._read_all(normals), object_name)

    def score(self, images: Sequence[ImageInput], references: References) -> Scores:
        """Score images against references that this detector, or an equal one, computed.

        Returns:
            For B images, image scores (B,), anomaly maps (B, rows, columns) over each image as framed, and the
            components of the score, all float32; the higher, the less an image looks like the normals.

        Raises:
            InvalidImage: Something is not an image, or a file cannot be decoded; the message says which.
            ValueError: No images were given, or the references are of another model.
            OSError: A file cannot be read.
        """
        if not len(images):
            raise ValueError("There are no images to score; pass at least one.")
        if references.model_id != self.model_id:
            raise ValueError(
                f"The references were computed by the model {references.model_id[:12]}, and this is "
                f"{self.model_id[:12]}; compute them again with this detector."
            )
        return self._detector.score(self._read_all(images), references)

    def _read_all(self, images: Sequence[ImageInput]) -> list[RgbImage]:
        return [self._read(image, position) for position, image in enumerate(images)]

    def _read(self, image: ImageInput, position: int) -> RgbImage:
        if isinstance(image, str | Path):
            try:
                return decode(Path(image).read_bytes(), self._settings.image_limits, self._detector.target_size).pixels
            except BadImage as error:
                raise InvalidImage(f"Image {position}, {image}, cannot be decoded: {error}") from error
        if isinstance(image, Image.Image):
            try:
                return pixels_of(image)
            except BadImage as error:
                raise InvalidImage(f"Image {position} cannot be used: {error}") from error
        if not isinstance(image, np.ndarray):
            raise InvalidImage(
                f"Image {position} is a {type(image).__name__}; pass an array (height, width, 3) of uint8, a Pillow "
                "image or a path."
            )
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InvalidImage(
                f"Image {position} is an array {image.shape} of {image.dtype}; pass (height, width, 3) of uint8 in RGB."
            )
        return np.ascontiguousarray(image)


def load_detector(
    name: str = "auto",
    *,
    backbone: str = "andon-tiny",
    framing: FramingKind = "letterbox",
    device: Device = "auto",
    settings: ScorerSettings | None = None,
) -> LoadedDetector:
    """Load a detector by name, with its preprocessing.

        detector = load_detector("nearest-patch")
        references = detector.references(normal_images)
        scores = detector.score(images, references)

    Args:
        name: A detector, such as ``nearest-patch``, ``patchcore`` or ``inctrl``, or one that another installed package
            adds; ``auto`` is InCTRL where its weights are stored, else nearest patch.
        backbone: The network whose patch tokens are compared, for methods that compare patches.
        framing: How images of any shape meet the network's one shape.
        device: Where the network runs; ``auto`` for the best that this machine has.
        settings: Everything else, such as the weights folder, precision and engine; by default torch in fp32.

    Raises:
        UnknownDetector: No detector has that name.
        UnknownBackbone: No backbone has that name.
        UnsupportedBackbone: The backbone lacks what the detector needs.
        ModelUnavailable: Weights or device are missing; the message says how to get them.
        PluginError: The detector of another package cannot be loaded.
    """
    from scorer.detectors import registry  # imports torch, which takes seconds

    base = settings or ScorerSettings(engine="torch", precision="fp32")
    chosen = base.model_copy(update={"detector": name, "backbone": backbone, "device": device})
    return LoadedDetector(registry.load(chosen, Framing(framing)), chosen)
