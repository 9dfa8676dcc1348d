"""Hashes take much memory, so few are computed at once, and one too many is refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from argon2 import PasswordHasher

from storage.auth import common_passwords, logins, passwords, users
from storage.auth.actors import Role
from storage.auth.passwords import MAX_AT_ONCE, MAX_WAITING
from storage.database.engine import Database
from storage.errors import InvalidChange, TooManyAttempts
from tests.storage.examples import NOON


class SlowHasher(PasswordHasher):
    """Counts how many hashes are verified at once, each of which lasts until `release` is set."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.lock, self.release, self.started = threading.Lock(), threading.Event(), threading.Semaphore(0)
        self.running = self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 (the name in the base class)
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.started.release()
        assert self.release.wait(60)
        with self.lock:
            self.running -= 1
        return super().verify(hash, password)


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> SlowHasher:
    slow = SlowHasher()
    monkeypatch.setattr(passwords, "_hasher", lambda: slow)
    monkeypatch.setattr(passwords, "WAIT_S", 60.0)
    return slow


def test_few_passwords_are_checked_at_once_and_the_others_wait_or_are_refused(hasher: SlowHasher) -> None:
    stored = hasher.hash("right")
    places = MAX_AT_ONCE + MAX_WAITING
    refused = threading.Semaphore(0)

    def check() -> bool | None:
        try:
            return passwords.verify("right", stored)
        except TooManyAttempts:
            refused.release()
            return None

    with ThreadPoolExecutor(places + 5) as threads:
        checks = [threads.submit(check) for _ in range(places + 5)]
        for _ in range(MAX_AT_ONCE):
            assert hasher.started.acquire(timeout=60)
        for _ in range(5):
            assert refused.acquire(timeout=60)
        hasher.release.set()
        results = [each.result() for each in checks]
    assert (results.count(True), results.count(None)) == (places, 5)
    assert hasher.most == MAX_AT_ONCE


def test_who_was_refused_because_of_others_has_not_guessed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.begin() as session:
        users.add(session, "mia", Role.ADMIN, "correct horse", NOON)

    def busy(password: str, stored: str | None) -> bool:
        raise TooManyAttempts("busy")

    with monkeypatch.context() as patch:
        patch.setattr(passwords, "verify", busy)
        for _ in range(2 * logins.MAX_ATTEMPTS):
            with pytest.raises(TooManyAttempts):
                logins.authenticate(database, "mia", "correct horse", NOON)
    assert logins.authenticate(database, "mia", "correct horse", NOON).name == "mia"


@pytest.mark.parametrize(
    "password",
    [
        *("password123", "Passwort1234!", "1234567890", "qwertyuiop", "aaaaaaaaaa", "abababababab", "changeme2026"),
        *("abcdefghijkl", "administrator", "0987654321", "Grafana2026", "adminadmin"),
    ],
)
def test_a_password_that_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidChange):
        passwords.hash_password(password)


@pytest.mark.parametrize(
    "password", ["correct horse", "blue lamp press 4", "Xq7!mZ2pLw", "password of the third press"]
)
def test_a_password_of_ones_own_is_taken(password: str) -> None:
    assert not common_passwords.is_common(password)
