"""A detector of another package."""

from scorer.detectors.nearest_patch import NearestPatch
from scorer.settings import ScorerSettings


class ExampleDetector(NearestPatch):
    """Nearest patch under another name."""

    name = "example-detector"


def load(settings: ScorerSettings) -> ExampleDetector:
    """Return the detector's method."""
    return ExampleDetector()
