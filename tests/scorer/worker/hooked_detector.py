"""A real detector that a test can watch, slow down or break."""

from collections.abc import Callable, Sequence
from typing import Any

from scorer.detectors import registry
from scorer.detectors.protocol import Detector, References, Scores
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings

BeforeScoring = Callable[[Sequence[Framed]], None]


class HookedDetector:
    """A detector that calls a hook with each batch before it is scored; an error of the hook is raised by `score`."""

    def __init__(self, detector: Detector, before_scoring: BeforeScoring) -> None:
        """Wrap a detector."""
        self._detector = detector
        self._before_scoring = before_scoring

    def __getattr__(self, name: str) -> Any:
        """Return the wrapped detector's attribute of this name."""
        return getattr(self._detector, name)

    def score_prepared(self, framed: Sequence[Framed], references: Sequence[References]) -> Scores:
        """Call the hook, then score."""
        self._before_scoring(framed)
        return self._detector.score_prepared(framed, references)


def load_hooked(before_scoring: BeforeScoring) -> registry.LoadDetector:
    """Return a function that loads the detector of the settings and wraps it."""

    def load(settings: ScorerSettings, framing: Framing) -> Any:
        return HookedDetector(registry.load(settings, framing), before_scoring)

    return load
