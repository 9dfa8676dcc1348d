"""The image store: bytes addressed by their content, in a folder or behind fsspec."""

import errno
import hashlib
import importlib
import re
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from foundation.atomic_files import write_content_addressed
from foundation.masking import mask_secrets
from storage.errors import NotFound, StorageError, StorageUnavailable
from storage.urls import check_images_url

_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class ImageStore:
    """Stores bytes under their own sha256, in a folder or at any fsspec URL (``s3://bucket/prefix``).

    A reference is ``sha256:<64 hex digits>``. Its form is checked before it becomes a path, so it cannot point
    elsewhere. In a folder an image is whole, and survives a power cut, or is absent. Used from several threads. Raises
    `StorageError` for a URL that cannot be opened.
    """

    def __init__(self, url: str) -> None:
        """Open the file system of the URL; nothing is read or written yet."""
        try:
            self._files, root = fsspec.core.url_to_fs(check_images_url(url), use_listings_cache=False)
        except ImportError as error:
            raise StorageError(
                f"The image store {mask_secrets(url)} needs a library that is missing: "
                "pip install 'andon-inspection[s3]'."
            ) from error
        except ValueError as error:
            raise StorageError(
                f"The image store {mask_secrets(url)} can't be opened: {mask_secrets(str(error))}."
            ) from None
        self.name = mask_secrets(url)
        self._root: str = root.rstrip("/")
        self._folder = Path(root) if isinstance(self._files, LocalFileSystem) else None
        self._store_errors: tuple[type[Exception], ...] = (OSError, *_s3_errors(self._files))

    def put(self, data: bytes) -> str:
        """Store `data` and return its reference, the same for the same bytes; raises `StorageUnavailable`."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if self._folder is not None:
                write_content_addressed(path, data)
            elif not self._files.exists(path):
                self._files.pipe_file(path, data)
        except self._store_errors as error:
            raise self._unavailable(error) from error
        return f"sha256:{digest}"

    def get(self, reference: str) -> bytes:
        """Return the bytes of a reference.

        Raises `NotFound` for an unknown or malformed reference and for bytes that do not match it, `StorageUnavailable`
        when the store cannot be reached.
        """
        digest = _digest(reference)
        if digest is None:
            raise NotFound(f"{reference[:80]!r} is not an image reference: use sha256: and 64 hexadecimal digits.")
        path = self._path(digest)
        try:
            self._require_inside(path)
            data: bytes = self._files.cat_file(path)
        except FileNotFoundError as error:
            if self._is_missing():
                raise self._unavailable(error) from error
            raise NotFound(f"The image store {self.name} has no image {reference}.") from error
        except self._store_errors as error:
            raise self._unavailable(error) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise NotFound(f"The image {reference} in {self.name} is damaged: its bytes no longer match its hash.")
        return data

    def __contains__(self, reference: str) -> bool:
        """Return whether the store has the image; raises `StorageUnavailable`."""
        digest = _digest(reference)
        if digest is None:
            return False
        try:
            return bool(self._files.exists(self._path(digest)))
        except self._store_errors as error:
            raise self._unavailable(error) from error

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _require_inside(self, path: str) -> None:
        """Raise `NotFound` for a symbolic link that leads out of the folder."""
        if self._folder is not None and not Path(path).resolve().is_relative_to(self._folder.resolve()):
            raise NotFound(f"{path} leads out of the image store {self.name}: remove the link.")

    def _is_missing(self) -> bool:
        """Return whether the folder or bucket itself is missing, so that the store is unavailable."""
        if self._folder is not None:
            return not self._folder.is_dir()
        try:
            return "s3" in self._files.protocol and not self._files.exists(self._root.partition("/")[0])
        except self._store_errors:
            return True

    def _unavailable(self, error: Exception) -> StorageUnavailable:
        number = error.errno if isinstance(error, OSError) else None
        if number in _NO_SPACE:
            return StorageUnavailable(
                f"The image store {self.name} has no disk space left: free some, and work continues by itself."
            )
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        detail = mask_secrets(detail)
        return StorageUnavailable(
            f"The image store {self.name} can't be used ({detail}): check that it exists and may be read and written."
        )


def _digest(reference: str) -> str | None:
    match = _REFERENCE.fullmatch(reference)
    return match[1] if match else None


def _s3_errors(files: Any) -> tuple[type[Exception], ...]:
    """Return the errors of the S3 library that are no OSError; other stores don't need the library."""
    if "s3" not in files.protocol:
        return ()
    return (importlib.import_module("botocore.exceptions").BotoCoreError,)
