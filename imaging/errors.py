"""The error of decoding; `foundation.errors` draws the whole tree."""

from foundation.errors import AndonError


class BadImage(AndonError):
    """These bytes are not an image that can be inspected.

    `reason` is a short slug fit for a metric label, such as ``too-many-pixels`` or ``corrupt-image``.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Set the slug and the sentence for a person."""
        super().__init__(message)
        self.reason = reason
