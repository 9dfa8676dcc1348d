"""Errors of the database and the image store; `foundation.errors` draws the whole tree."""

from typing import ClassVar

from foundation.errors import AndonError, Retriable


class StorageError(AndonError):
    """Root of the errors of the database and the image store."""


class StorageUnavailable(StorageError, Retriable):
    """The database or the image store can't be reached or is full."""

    cause: ClassVar[str] = "database"


class SchemaMismatch(StorageError):
    """The database's schema is not the one this code was written for; `andon db upgrade` is the way out."""


class NotFound(StorageError):
    """No such station, normal set, verdict or image."""


class InvalidChange(StorageError):
    """The change would break a rule of the house (a name taken, a normal set with one image, an active set changed)."""


class PermissionDenied(StorageError):
    """The person's role does not allow what they asked for, or nobody is logged in."""


class LoginFailed(StorageError):
    """Name and password don't fit, or the name was tried too often and waits."""
