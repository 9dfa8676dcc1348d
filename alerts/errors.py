"""Errors of rules and notifications; `foundation.errors` draws the whole tree."""

from foundation.errors import AndonError


class AlertsError(AndonError):
    """Root of the errors of rules and notifications."""


class UnknownRule(AlertsError):
    """No rule of that name exists; the message lists those that do."""


class InvalidParameters(AlertsError):
    """A rule can't be set like that; the message names the parameter."""


class NotificationFailed(AlertsError):
    """A message could not be sent to a channel's service; the error contains no secret."""
