"""The recipe that the frames of a station are inspected with."""

from dataclasses import dataclass

from imaging.quality.picture_quality import PictureLimits
from scorer.detectors.protocol import Detector, References
from scorer.imaging.framing import Framing
from storage.line.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Recipe:
    """Detector, references, framing, threshold, limits and bit depth of a station and one of its normal sets.

    The detector scores images, framed by `framing`, against `references`; scores above the threshold are flagged. An
    image beyond the `picture_limits` is a bad picture and not scored. Of samples in words of 16 bits the camera fills
    `bit_depth`; None for all of them. `model_id` is the detector's, or that of the detector with the head of a defect
    set where one is in use.
    """

    detector: Detector
    model_id: str
    references: References
    framing: Framing
    threshold: Threshold
    picture_limits: PictureLimits
    bit_depth: int | None = None
