"""The image store: content-addressed, behind fsspec."""


class ImageStore:
    """Keeps bytes under their own sha256: a folder path or any fsspec URL (``s3://bucket/prefix``).

    A reference reads ``sha256:<64 hex digits>`` and is checked before it becomes a path, so it can't point elsewhere.
    """

    def __init__(self, url: str) -> None:
        raise NotImplementedError

    def put(self, data: bytes) -> str:
        """Keep `data` and return its reference; the same bytes give the same one. Raises `StorageUnavailable`."""
        raise NotImplementedError

    def get(self, reference: str) -> bytes:
        """Raises `NotFound` for an unknown or ill-formed reference, `StorageUnavailable` when the store is away."""
        raise NotImplementedError

    def __contains__(self, reference: str) -> bool:
        raise NotImplementedError
