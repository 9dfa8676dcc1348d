"""The key that encrypts addresses: where it lies, who may read it, and what another one sees."""

from pathlib import Path

import pytest

from storage.database.secret_key import SecretKey
from storage.errors import SecretUnreadable
from storage.settings import StorageSettings

TEXT = "a random text of some length"


def test_a_text_is_read_with_the_same_key_and_purpose_only() -> None:
    encrypted = SecretKey.from_text(TEXT).encrypt("slack://token", "chat")
    assert "token" not in encrypted
    assert SecretKey.from_text(TEXT).decrypt(encrypted, "chat") == "slack://token"
    assert SecretKey.from_text(TEXT).encrypt("slack://token", "chat") != encrypted
    for key, purpose, text in (
        (SecretKey.from_text(TEXT + "!"), "chat", encrypted),
        (SecretKey.from_text(TEXT), "mail", encrypted),
        (SecretKey.from_text(TEXT), "chat", encrypted[:-8]),
        (SecretKey.from_text(TEXT), "chat", "nonsense"),
    ):
        with pytest.raises(SecretUnreadable):
            key.decrypt(text, purpose)


def test_the_file_of_the_key_is_made_when_it_is_needed_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret.key"
    key = SecretKey.from_settings(StorageSettings(database_url=f"sqlite:///{tmp_path}/home/andon.db"))
    assert not path.exists()
    encrypted = key.encrypt("slack://token", "chat")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret.key"]
    assert SecretKey.from_file(path).decrypt(encrypted, "chat") == "slack://token"


def test_reading_makes_no_key_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with pytest.raises(SecretUnreadable):
        SecretKey.from_file(path).decrypt("AAAA", "chat")
    assert not path.exists()
    for content in ("abcd", "no key", ""):
        path.write_text(content)
        with pytest.raises(SecretUnreadable):
            SecretKey.from_file(path).encrypt("slack://token", "chat")


def test_the_settings_name_the_text_or_the_file(tmp_path: Path) -> None:
    encrypted = SecretKey.from_text(TEXT).encrypt("slack://token", "chat")
    by_text = StorageSettings.model_validate({"secret_key": TEXT})
    assert SecretKey.from_settings(by_text).decrypt(encrypted, "chat") == "slack://token"
    SecretKey.from_settings(StorageSettings(secret_key_path=tmp_path / "k")).encrypt("", "")
    assert (tmp_path / "k").exists()
