"""What can go wrong between a camera and the bus; every message is one sentence for a person."""


class IngestError(Exception):
    """Root of this room's errors."""


class BusUnavailable(IngestError):
    """The bus can't be reached or refuses work; retriable: stop uncommitted, wait, try again."""


class BusMisconfigured(IngestError):
    """The bus was reached and says no for good (wrong credentials, missing library, message over its limit)."""


class MessageTooLarge(BusMisconfigured):
    """This one message is over the bus's limit; others will go."""


class BadFrame(IngestError):
    """This one message can't become a verdict and goes to the dead letters.

    `reason` is a short slug fit for a metric label, such as ``no-headers`` or ``too-many-pixels``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SourceError(IngestError):
    """A source can't be opened or has ended for good; the message names it and the way out."""


class SpoolFull(IngestError):
    """The disk spool can't take more: it is at its limit, or the disk is full or refuses."""
