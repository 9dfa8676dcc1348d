"""What stops the worker uncommitted and is tried again: something it needs is away."""

from ingest.errors import BusUnavailable
from scorer.errors import ImageStoreUnavailable, ModelUnavailable
from storage.errors import StorageUnavailable

CAUSES: dict[type[Exception], str] = {
    BusUnavailable: "bus",
    StorageUnavailable: "database",
    ImageStoreUnavailable: "images",
    ModelUnavailable: "model",
}
RETRIABLE = tuple(CAUSES)


def cause_of(error: Exception) -> str:
    """Which part is away, in one word fit for a metric label."""
    return next(cause for kind, cause in CAUSES.items() if isinstance(error, kind))
