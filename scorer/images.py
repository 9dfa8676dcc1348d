"""The image store as the scorer uses it: its outages are distinguished from those of the database."""

from scorer.errors import ImageStoreUnavailable
from storage.blobs.image_store import ImageStore
from storage.errors import StorageUnavailable


class RetriableImageStore:
    """Stores and reads bytes, from any thread."""

    def __init__(self, store: ImageStore) -> None:
        """Use this store."""
        self._store = store

    def put(self, data: bytes) -> str:
        """Store bytes and return their reference; raises `ImageStoreUnavailable`."""
        try:
            return self._store.put(data)
        except StorageUnavailable as error:
            raise ImageStoreUnavailable(str(error)) from error

    def get(self, reference: str) -> bytes:
        """Return the bytes of a reference; raises `NotFound`, or `ImageStoreUnavailable`."""
        try:
            return self._store.get(reference)
        except StorageUnavailable as error:
            raise ImageStoreUnavailable(str(error)) from error
