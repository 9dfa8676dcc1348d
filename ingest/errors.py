"""Errors between a camera and the bus; `foundation.errors` draws the whole tree."""

from typing import ClassVar

from foundation.errors import AndonError, Retriable


class IngestError(AndonError):
    """Root of the errors of sources, producer and bus."""


class BusUnavailable(IngestError, Retriable):
    """The bus can't be reached or refuses work for now."""

    cause: ClassVar[str] = "bus"


class BusMisconfigured(IngestError):
    """The bus refuses permanently, because of wrong credentials, a missing library or a message over its limit."""


class MessageTooLarge(BusMisconfigured):
    """This one message is over the bus's limit; others can be published."""


class BadFrame(IngestError):
    """This one message can't become a verdict and becomes a dead letter.

    `reason` is a short slug fit for a metric label, such as ``no-headers`` or ``too-many-pixels``.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Set the slug and the sentence for a person."""
        super().__init__(message)
        self.reason = reason


class SourceError(IngestError):
    """A source can't be opened or has ended permanently; the message names it and the remedy."""


class SpoolFull(IngestError):
    """The disk spool can't take more: it is at its limit, or the disk is full or read-only."""
