"""The image store: content-addressed, behind fsspec."""

import errno
import hashlib
import importlib
import re
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from foundation.atomic_files import write_content_addressed
from storage.errors import NotFound, StorageError, StorageUnavailable
from storage.urls import check_images_url

_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class ImageStore:
    """Keeps bytes under their own sha256: a folder path or any fsspec URL (``s3://bucket/prefix``).

    A reference reads ``sha256:<64 hex digits>`` and is checked before it becomes a path, so it can't point elsewhere.
    In a folder an image is either wholly there, and stays after a power cut, or not at all.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(check_images_url(url), use_listings_cache=False)
        except ImportError as error:
            raise StorageError(
                f"The image store {url} needs a library that is missing: pip install 'andon-inspection[s3]'."
            ) from error
        except ValueError as error:
            raise StorageError(f"The image store {url} can't be opened: {error}.") from error
        self.name = url
        self._root: str = root.rstrip("/")
        self._folder = Path(root) if isinstance(self._files, LocalFileSystem) else None
        self._troubles: tuple[type[Exception], ...] = (OSError, *_troubles_of_s3(self._files))

    def put(self, data: bytes) -> str:
        """Keep `data` and return its reference; the same bytes give the same one. Raises `StorageUnavailable`."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if self._folder is not None:
                write_content_addressed(path, data)
            elif not self._files.exists(path):
                self._files.pipe_file(path, data)
        except self._troubles as error:
            raise self._unavailable(error) from error
        return f"sha256:{digest}"

    def get(self, reference: str) -> bytes:
        """Raises `NotFound` for an unknown or ill-formed reference, `StorageUnavailable` when the store is away."""
        digest = _digest(reference)
        if digest is None:
            raise NotFound(f"{reference[:80]!r} is no image reference: one reads sha256: and 64 hexadecimal digits.")
        path = self._path(digest)
        try:
            self._require_inside(path)
            data: bytes = self._files.cat_file(path)
        except FileNotFoundError as error:
            if self._is_gone():
                raise self._unavailable(error) from error
            raise NotFound(f"The image store {self.name} has no image {reference}.") from error
        except self._troubles as error:
            raise self._unavailable(error) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise NotFound(f"The image {reference} in {self.name} is damaged: its bytes no longer match its name.")
        return data

    def __contains__(self, reference: str) -> bool:
        digest = _digest(reference)
        if digest is None:
            return False
        try:
            return bool(self._files.exists(self._path(digest)))
        except self._troubles as error:
            raise self._unavailable(error) from error

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _require_inside(self, path: str) -> None:
        """A link that somebody laid into the folder must not lead out of it."""
        if self._folder is not None and not Path(path).resolve().is_relative_to(self._folder.resolve()):
            raise NotFound(f"{path} leads out of the image store {self.name}: remove the link.")

    def _is_gone(self) -> bool:
        """Whether folder or bucket is missing: then no image is missing, the whole store is away."""
        if self._folder is not None:
            return not self._folder.is_dir()
        try:
            return "s3" in self._files.protocol and not self._files.exists(self._root.partition("/")[0])
        except self._troubles:
            return True

    def _unavailable(self, error: Exception) -> StorageUnavailable:
        number = error.errno if isinstance(error, OSError) else None
        if number in _NO_SPACE:
            return StorageUnavailable(
                f"The image store {self.name} has no disk space left: free some, and work goes on by itself."
            )
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return StorageUnavailable(
            f"The image store {self.name} can't be used ({why}): check that it is there and may be read and written."
        )


def _digest(reference: str) -> str | None:
    match = _REFERENCE.fullmatch(reference)
    return match[1] if match else None


def _troubles_of_s3(files: Any) -> tuple[type[Exception], ...]:
    """Errors of a remote store's library that are no OSError, without needing that library elsewhere."""
    if "s3" not in files.protocol:
        return ()
    return (importlib.import_module("botocore.exceptions").BotoCoreError,)
