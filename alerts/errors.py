"""Errors of rules and notifications; `foundation.errors` draws the whole tree."""

from foundation.errors import AndonError


class AlertsError(AndonError):
    """Root of the errors of rules and notifications."""


class UnknownRule(AlertsError):
    """There is no rule of that name; the message lists those there are."""


class InvalidParameters(AlertsError):
    """A rule can't be set like that; the message names the parameter."""


class NotificationFailed(AlertsError):
    """A message could not be handed to a channel's service; the message holds no secret."""
