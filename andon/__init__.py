"""Andon: visual inspection that learns a station from a handful of good parts.

    import andon

    detector = andon.load_detector("nearest-patch")
    references = detector.references(normal_images)
    scores = detector.score(images, references)

Importing this package loads no model library; `load_detector` needs the scorer extra and loads it on its first call.
Every exception derives from `AndonError`; one that is worth another try derives from `Retriable`.
"""

from typing import TYPE_CHECKING

from alerts.errors import AlertsError
from foundation.errors import AndonError, Retriable
from ingest.errors import IngestError
from scorer.errors import ScorerError
from storage.errors import StorageError

if TYPE_CHECKING:
    from scorer.detectors.loading import LoadedDetector, load_detector
    from scorer.detectors.protocol import References, Scores

__all__ = [
    "AlertsError",
    "AndonError",
    "IngestError",
    "LoadedDetector",
    "References",
    "Retriable",
    "ScorerError",
    "Scores",
    "StorageError",
    "load_detector",
]

_MODULE_OF = {
    "LoadedDetector": "scorer.detectors.loading",
    "References": "scorer.detectors.protocol",
    "Scores": "scorer.detectors.protocol",
    "load_detector": "scorer.detectors.loading",
}


def __getattr__(name: str) -> object:
    """Import a name of the detectors when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, those that are not imported yet too."""
    return sorted(set(globals()) | set(__all__))
