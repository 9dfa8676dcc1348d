"""The bus's errors for those of kafka-python."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors

from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge

_MESSAGE_ERRORS = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
PERMANENT_ERRORS = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabledError,
    errors.KafkaConfigurationError,
    errors.UnsupportedVersionError,
    errors.InvalidTopicError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationFactorError,
    errors.InvalidConfigurationError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
    errors.InconsistentGroupProtocolError,
    errors.PolicyViolationError,
    errors.UnsupportedCodecError,
)
"""Errors that waiting does not resolve."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the bus's own errors for those of kafka-python."""
    try:
        yield
    except (errors.KafkaError, OSError, ValueError, TypeError, AssertionError) as error:
        raise translate_error(error) from error


def translate_error(error: Exception) -> BusUnavailable | BusMisconfigured:
    """Return `MessageTooLarge`, `BusMisconfigured` for errors that waiting does not resolve, else `BusUnavailable`."""
    description = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, _MESSAGE_ERRORS):
        return MessageTooLarge(f"Kafka refuses a message for its size ({description}).")
    if isinstance(error, PERMANENT_ERRORS):
        return BusMisconfigured(f"Kafka refuses ({description}).")
    if not isinstance(error, errors.KafkaError | OSError):
        return BusMisconfigured(f"Kafka's client refuses ({description}).")
    return BusUnavailable(f"Kafka is not available ({description}).")
