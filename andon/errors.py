"""What can go wrong at the front door; every message is one sentence for a person."""


class AndonError(Exception):
    """Root of this room's errors."""


class SettingsWrong(AndonError):
    """A settings file or an environment variable says something that can't be meant; the message names it."""


class PortTaken(AndonError):
    """Another process listens where /metrics and /healthz were to be served."""


class Refused(AndonError):
    """What a command was asked can't be done; the message says why and the way out."""


class Incomplete(AndonError):
    """A command did a part of its work and what is left needs another run; the message says what is left."""
