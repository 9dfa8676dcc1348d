"""Errors between a frame and its verdict; `foundation.errors` draws the whole tree."""

from typing import ClassVar

from foundation.errors import AndonError, Retriable


class ScorerError(AndonError):
    """Root of the errors of models, recipes and evaluation."""


class ModelUnavailable(ScorerError, Retriable):
    """Weights or the device are missing."""

    cause: ClassVar[str] = "model"


class InvalidWeights(ModelUnavailable):
    """A weights file can't be used; the message names the file and the problem."""


class InvalidNormalSet(ScorerError):
    """A normal set can't be turned into references or a threshold; the message says which image and why."""


class InvalidReferences(ScorerError):
    """A file of references is damaged or of another format; references are computed again."""


class UnknownDetector(ScorerError):
    """The settings name a detector that is not in the registry; no waiting helps."""


class InvalidImage(ScorerError, ValueError):
    """An argument is not an image: it has another type, shape or kind of values."""


class UnknownBackbone(ScorerError):
    """The settings name a backbone that is not in the registry; no waiting helps."""


class UnsupportedBackbone(ScorerError):
    """The backbone that the settings name lacks what the detector needs; no waiting helps."""


class UnsupportedEngine(ScorerError):
    """The settings name an engine that can't be used on this machine; no waiting helps."""


class ImageStoreUnavailable(ScorerError, Retriable):
    """The image store can't be reached or is full."""

    cause: ClassVar[str] = "images"
