"""What can go wrong with alerts; every message is one sentence for a person."""


class AlertsError(Exception):
    """Root of this room's errors."""


class UnknownRule(AlertsError):
    """There is no rule of that name; the message lists those there are."""


class InvalidParameters(AlertsError):
    """A rule can't be set like that; the message names the parameter."""


class NotificationFailed(AlertsError):
    """A message could not be handed to a channel's service; the message holds no secret."""
