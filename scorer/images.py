"""The image store as the worker sees it: its being away has a name of its own, apart from the database's."""

from scorer.errors import ImageStoreUnavailable
from storage.blobs.image_store import ImageStore
from storage.errors import StorageUnavailable


class RetriableImageStore:
    """Puts and gets bytes from any thread; raises `ImageStoreUnavailable` where the store is away."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def put(self, data: bytes) -> str:
        """Keep bytes, return their reference."""
        try:
            return self._store.put(data)
        except StorageUnavailable as error:
            raise ImageStoreUnavailable(str(error)) from error

    def get(self, reference: str) -> bytes:
        """Raises `NotFound` for a reference that is not there."""
        try:
            return self._store.get(reference)
        except StorageUnavailable as error:
            raise ImageStoreUnavailable(str(error)) from error
