"""The error of the accuracy evaluation."""

from scorer.errors import ScorerError


class EvaluationError(ScorerError):
    """Raised for a folder, file or option that cannot be evaluated; the message names it and the way out."""
