"""Errors of the `andon` command; `foundation.errors` draws the whole tree."""

from foundation.errors import AndonError


class InvalidSettings(AndonError):
    """A settings file or an environment variable has an invalid value; the message names it."""


class PortInUse(AndonError):
    """Another process listens where /metrics, /livez and /readyz were to be served."""


class CommandFailed(AndonError):
    """A command can't carry out the request; the message gives the reason and the way out."""


class CommandIncomplete(AndonError):
    """A command did a part of its work and the rest needs another run; the message names the rest."""


class ExtraMissing(AndonError):
    """A command needs a library that only an extra of the distribution installs; the message names the extra."""
