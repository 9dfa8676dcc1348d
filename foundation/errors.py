"""The one tree of this project's exceptions. Every message is one sentence for a person.

AndonError
├── Retriable
├── PluginError
├── BadImage
├── IngestError
│   ├── BusUnavailable              Retriable, cause "bus"
│   ├── BusMisconfigured
│   │   └── MessageTooLarge
│   ├── BadFrame
│   ├── SourceError
│   └── SpoolFull
├── StorageError
│   ├── StorageUnavailable          Retriable, cause "database"
│   ├── SchemaMismatch
│   ├── NotFound
│   ├── InvalidChange
│   ├── SecretUnreadable
│   ├── PermissionDenied
│   └── LoginFailed
│       └── TooManyAttempts
├── ScorerError
│   ├── ModelUnavailable            Retriable, cause "model"
│   │   └── InvalidWeights
│   ├── ImageStoreUnavailable       Retriable, cause "images"
│   ├── InvalidImage
│   ├── InvalidNormalSet
│   ├── InvalidImage                ValueError
│   ├── InvalidReferences
│   ├── EvaluationError
│   ├── UnknownDetector
│   ├── UnknownBackbone
│   ├── UnsupportedBackbone
│   └── UnsupportedEngine
├── AlertsError
│   ├── UnknownRule
│   ├── InvalidParameters
│   └── NotificationFailed
├── OutputsError
│   ├── OutputUnavailable           Retriable, cause "output"
│   ├── MessageRejected
│   ├── UnknownOutput
│   └── OutputMisconfigured
├── ExtraMissing
├── InvalidSettings
├── PortInUse
├── CommandFailed
└── CommandIncomplete

Each is defined in its room's `errors` module. What only one module raises derives from one of these and stays there.
"""

from typing import ClassVar


class AndonError(Exception):
    """Root of every exception that this project raises on purpose."""


class Retriable(AndonError):
    """A service that is needed is unavailable: stop without committing, wait, and try again.

    The room's own class derives from this one too, and sets `cause`.
    """

    cause: ClassVar[str]
    """The service that is unavailable, fit for a metric label: ``bus``, ``database``, ``images``, ``model`` or
    ``output``."""


class PluginError(AndonError):
    """A plug-in of another installed package can't be loaded or does not work; the message names the package."""
