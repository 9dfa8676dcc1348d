"""What can go wrong between a frame and its verdict; every message is one sentence for a person."""


class ScorerError(Exception):
    """Root of this room's errors."""


class ModelUnavailable(ScorerError):
    """Weights or device are missing; retriable: the worker waits and tries again."""


class InvalidWeights(ModelUnavailable):
    """A weights file can't be used; the message names the file and what of it is wrong."""


class InvalidNormalSet(ScorerError):
    """A normal set can't be turned into references or a threshold; the message says which image and why."""


class UnknownDetector(ScorerError):
    """The settings name a detector that is not in the registry; no waiting helps."""


class UnknownBackbone(ScorerError):
    """The settings name a backbone that is not in the registry; no waiting helps."""


class UnsupportedBackbone(ScorerError):
    """The backbone that the settings name lacks what the detector needs; no waiting helps."""


class UnsupportedEngine(ScorerError):
    """The settings name an engine that can't be used on this machine; no waiting helps."""


class ImageStoreUnavailable(ScorerError):
    """The image store can't be reached or is full; retriable."""
