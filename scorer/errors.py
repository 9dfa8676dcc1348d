"""What can go wrong between a frame and its verdict; every message is one sentence for a person."""


class ScorerError(Exception):
    """Root of this room's errors."""


class ModelUnavailable(ScorerError):
    """Weights or device are missing; retriable: the worker waits and tries again."""


class BadNormals(ScorerError):
    """A normal set can't be turned into references or a threshold; the message says which image and why."""
