"""The key that encrypts what the database must not hold in clear: the addresses of notification channels."""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import URL
from sqlalchemy.orm import Session

from foundation.atomic_files import sync_folder
from foundation.private_files import FILE_MODE, make_private_folder
from storage.errors import SecretUnreadable
from storage.settings import StorageSettings
from storage.urls import parse_database_url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_OF_SESSION = "andon_secret_key"
KEY_BYTES = 32
_NONCE_BYTES = 12
_ELSEWHERE = "set storage.secret_key (ANDON_STORAGE__SECRET_KEY) to the same text for every process"


class SecretKey:
    """Encrypts texts with AES-256-GCM. The key itself is read, or its file made, when it is first used."""

    def __init__(self, load: Callable[[bool], bytes]) -> None:
        """Use the key that `load` returns; its argument says whether a missing one is made."""
        self._load = load

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Make the key from a random text of at least 16 characters."""
        key = hashlib.sha256(b"andon secret key\0" + text.encode()).digest()
        return cls(lambda _: key)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Keep the key in a file that only its owner may read."""
        return cls(lambda may_make: _read_or_make(path, may_make))

    @classmethod
    def from_settings(cls, settings: StorageSettings) -> Self:
        """Use the key that the settings name, or the file at its default place."""
        if settings.secret_key is not None:
            return cls.from_text(settings.secret_key.get_secret_value())
        return cls.from_file(settings.secret_key_path or default_key_path(parse_database_url(settings.database_url)))

    def encrypt(self, text: str, purpose: str) -> str:
        """Return the text encrypted, as URL-safe base64; only `decrypt` with the same purpose reads it.

        Raises:
            SecretUnreadable: The key can't be read or made.
        """
        nonce = os.urandom(_NONCE_BYTES)
        sealed = _cipher(self._load(True)).encrypt(nonce, text.encode(), purpose.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode("ascii")

    def decrypt(self, encrypted: str, purpose: str) -> str:
        """Return the text that `encrypt` was given; raises `SecretUnreadable` for another key or a changed text."""
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.urlsafe_b64decode(encrypted)
            opened: bytes = _cipher(self._load(False)).decrypt(
                data[:_NONCE_BYTES], data[_NONCE_BYTES:], purpose.encode()
            )
        except (InvalidTag, ValueError, binascii.Error):
            raise SecretUnreadable(f"It was encrypted with another key: {_ELSEWHERE}, or enter it again.") from None
        return opened.decode()


def key_of(session: Session) -> SecretKey:
    """Return the key of the database that a session belongs to."""
    key = session.info[KEY_OF_SESSION]
    assert isinstance(key, SecretKey)
    return key


def default_key_path(database: URL) -> Path:
    """Return where the key lies: beside an SQLite database, or in .andon with PostgreSQL."""
    folder = Path(database.database or ".").parent if database.get_backend_name() == "sqlite" else Path(".andon")
    return folder / "secret.key"


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _read_or_make(path: Path, may_make: bool) -> bytes:
    """Return the key in a file; of two processes that make it at once, both get the one that was first."""
    try:
        if may_make and not path.exists():
            _make(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a key"
        raise SecretUnreadable(
            f"The key file {path} can't be used ({reason}): make it readable, or {_ELSEWHERE}."
        ) from None
    if len(key) != KEY_BYTES:
        raise SecretUnreadable(f"The key file {path} is damaged: restore it from a backup, or {_ELSEWHERE}.")
    return key


def _make(path: Path) -> None:
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, it fails where another process was first
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
