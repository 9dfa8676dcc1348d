"""The recipe that the frames of a station are inspected with."""

from dataclasses import dataclass

from imaging.quality.picture_quality import PictureLimits
from imaging.rgb import RgbImage
from scorer.detectors.protocol import Detector, References
from scorer.imaging.framing import Framed, Framing
from storage.line.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Recipe:
    """Detector, references, framing, threshold, limits and bit depth of a station and one of its normal sets.

    The detector scores images, framed by `framing`, against `references`; scores above the threshold are flagged. An
    image beyond the `picture_limits` is a bad picture and not scored. Of samples in words of 16 bits the camera fills
    `bit_depth`; None for all of them. `model_id` is the detector's, or that of the detector with the head of a defect
    set where one is in use. `mask_version` is the version of the station's mask, 0 without one; then `masked` is the
    same detector with the mask, which prepares images. Its images are scored by `detector`, together with those of
    other stations.
    """

    detector: Detector
    model_id: str
    references: References
    framing: Framing
    threshold: Threshold
    picture_limits: PictureLimits
    bit_depth: int | None = None
    mask_version: int = 0
    masked: Detector | None = None

    def prepare(self, image: RgbImage) -> Framed:
        """Bring an image to the shape that the network takes, without what the station's mask ignores."""
        return (self.masked or self.detector).prepare(image)
