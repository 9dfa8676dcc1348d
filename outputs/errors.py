"""Errors of outputs; `foundation.errors` draws the whole tree."""

from typing import ClassVar

from foundation.errors import AndonError, Retriable


class OutputsError(AndonError):
    """Root of the errors of outputs."""


class OutputUnavailable(OutputsError, Retriable):
    """The receiver can't be reached or can't take messages now: the batch is sent again later."""

    cause: ClassVar[str] = "output"


class MessageRejected(OutputsError):
    """The receiver will never take a message of the batch: that one is set aside with this reason."""


class UnknownOutput(OutputsError):
    """No output of that kind exists; the message lists those that do."""


class OutputMisconfigured(OutputsError):
    """The settings of an output are not valid; the message names the key."""
