"""What can be wrong with what somebody asks to be measured."""

from scorer.errors import ScorerError


class EvaluationError(ScorerError):
    """A folder, a file or an option that nothing can be measured with; the message says which and what would do."""
