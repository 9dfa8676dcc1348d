"""The recipe that the frames of a station are inspected with."""

from dataclasses import dataclass

from scorer.detectors.protocol import Detector, References
from scorer.imaging.framing import Framing
from storage.line.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Recipe:
    """Detector, references, framing and threshold of a station and one of its normal sets.

    The detector scores images, framed by `framing`, against `references`; scores above the threshold are flagged.
    """

    detector: Detector
    references: References
    framing: Framing
    threshold: Threshold
