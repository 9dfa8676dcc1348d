"""Errors of the `andon` command; `foundation.errors` draws the whole tree."""

from foundation.errors import AndonError


class InvalidSettings(AndonError):
    """A settings file or an environment variable says something that can't be meant; the message names it."""


class PortInUse(AndonError):
    """Another process listens where /metrics and /healthz were to be served."""


class CommandFailed(AndonError):
    """What a command was asked can't be done; the message says why and the way out."""


class CommandIncomplete(AndonError):
    """A command did a part of its work and what is left needs another run; the message says what is left."""


class ExtraMissing(AndonError):
    """A command needs a library that only an extra of the distribution installs; the message names the extra."""
