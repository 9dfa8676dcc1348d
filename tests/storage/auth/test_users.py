"""Users: the first is an admin, the last admin stays, and passwords are tried at a limited rate."""

import threading
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from storage.auth import identity, logins, passwords, users
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.auth.logins import ATTEMPT_WINDOW, IDLE_TIMEOUT, MAX_AGE, MAX_ATTEMPTS, MAX_ATTEMPTS_PER_ADDRESS
from storage.database.engine import Database
from storage.database.tables import LoginAttemptRow, LoginRow, UserRow
from storage.errors import InvalidChange, LoginFailed, NotFound, TooManyAttempts
from tests.storage.examples import NOON, is_one_sentence

PASSWORD = "correct horse"
MIA = Actor("mia", Role.ADMIN)


@pytest.fixture
def mia(database: Database) -> Database:
    """A database whose only user is the admin mia."""
    with database.begin() as session:
        users.add(session, "mia", Role.ADMIN, PASSWORD, NOON)
    return database


def test_the_first_user_is_an_admin_and_names_are_unique(database: Database) -> None:
    with database.begin() as session:
        with pytest.raises(InvalidChange) as caught:
            users.add(session, "leo", Role.INSPECTOR, PASSWORD, NOON)
        assert is_one_sentence(caught.value)
        users.add(session, "mia", Role.ADMIN, PASSWORD, NOON)
        users.add(session, "leo", Role.INSPECTOR, None, NOON)
        with pytest.raises(InvalidChange):
            users.add(session, "leo", Role.INSPECTOR, None, NOON)
        assert [(user.name, user.role, user.has_password) for user in users.list_all(session)] == [
            ("leo", Role.INSPECTOR, False),
            ("mia", Role.ADMIN, True),
        ]


@pytest.mark.parametrize("name", ["", " mia", "mia\n", "m" * 65, SINGLE_USER])
def test_an_invalid_name_is_refused(database: Database, name: str) -> None:
    with database.begin() as session, pytest.raises(InvalidChange):
        users.add(session, name, Role.ADMIN, PASSWORD, NOON)


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_a_weak_password_is_refused(database: Database, password: str) -> None:
    with database.begin() as session, pytest.raises(InvalidChange):
        users.add(session, "mia", Role.ADMIN, password, NOON)


def test_a_password_is_stored_as_argon2id_with_its_own_salt() -> None:
    one, other = passwords.hash_password(PASSWORD), passwords.hash_password(PASSWORD)
    assert one.startswith("$argon2id$")
    assert one != other
    assert passwords.verify(PASSWORD, one)
    assert not passwords.verify("another one", one)
    assert not passwords.verify(PASSWORD, None)
    assert not passwords.verify("nobody has this password", None)
    assert not passwords.needs_rehash(one)


def test_the_last_admin_cannot_be_removed(mia: Database) -> None:
    with mia.begin() as session:
        users.add(session, "leo", Role.INSPECTOR, None, NOON)
        with pytest.raises(InvalidChange):
            users.disable(session, "mia", NOON)
        with pytest.raises(InvalidChange):
            users.set_role(session, "mia", Role.VIEWER)
        users.set_role(session, "leo", Role.ADMIN)
        assert users.disable(session, "mia", NOON).disabled_at == NOON
        with pytest.raises(InvalidChange):
            users.set_role(session, "leo", Role.VIEWER)


def test_two_admins_who_demote_each_other_concurrently_leave_one(mia: Database) -> None:
    with mia.begin() as session:
        users.add(session, "leo", Role.ADMIN, None, NOON)
    barrier, refused = threading.Barrier(2), []

    def remove(name: str) -> None:
        barrier.wait(60)
        try:
            with mia.begin() as session:
                users.set_role(session, name, Role.VIEWER)
        except InvalidChange as error:
            refused.append(error)

    threads = [threading.Thread(target=remove, args=(name,)) for name in ("mia", "leo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(refused) == 1
    with mia.read() as session:
        assert sorted(user.role for user in users.list_all(session)) == [Role.ADMIN, Role.VIEWER]


def test_the_right_password_logs_in_and_errors_hide_whether_the_name_exists(mia: Database) -> None:
    assert logins.authenticate(mia, "mia", PASSWORD, NOON) == MIA
    messages = set()
    for name, password in (("mia", "another one"), ("nobody", PASSWORD), ("", "")):
        with pytest.raises(LoginFailed) as caught:
            logins.authenticate(mia, name, password, NOON)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_name_is_locked_after_five_wrong_passwords(mia: Database) -> None:
    with mia.begin() as session:
        users.add(session, "leo", Role.VIEWER, PASSWORD, NOON)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(LoginFailed):
            logins.authenticate(mia, "mia", "another one", NOON)
    with pytest.raises(TooManyAttempts, match="5") as caught:
        logins.authenticate(mia, "mia", PASSWORD, NOON + timedelta(minutes=10, seconds=1))
    assert is_one_sentence(caught.value)
    assert logins.authenticate(mia, "leo", PASSWORD, NOON).name == "leo"
    assert logins.authenticate(mia, "mia", PASSWORD, NOON + ATTEMPT_WINDOW) == MIA
    with mia.read() as session:
        assert session.scalars(select(LoginAttemptRow.name)).all() == []


def test_a_successful_login_resets_the_attempt_count(mia: Database) -> None:
    for _ in range(3):
        for _ in range(MAX_ATTEMPTS - 1):
            with pytest.raises(LoginFailed):
                logins.authenticate(mia, "mia", "another one", NOON)
        assert logins.authenticate(mia, "mia", PASSWORD, NOON) == MIA


def test_concurrent_attempts_are_counted_one_by_one(mia: Database) -> None:
    checked = []

    def guess(number: int) -> None:
        with pytest.raises(LoginFailed) as caught:
            logins.authenticate(mia, "mia", f"guess number {number}", NOON)
        checked.append(not isinstance(caught.value, TooManyAttempts))

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(checked) == MAX_ATTEMPTS


def test_a_token_is_valid_while_it_is_used_and_for_a_week_at_most(mia: Database) -> None:
    actor, token = identity.log_in(mia, "mia", PASSWORD, NOON)
    assert actor == MIA
    at = NOON
    with mia.begin() as session:
        assert token not in session.scalars(select(LoginRow.token_sha256)).all()
        assert logins.find_actor(session, token, NOON + IDLE_TIMEOUT - timedelta(seconds=1)) == MIA
        assert logins.find_actor(session, token, NOON + IDLE_TIMEOUT) is None
        assert logins.find_actor(session, f"{token}x", NOON) is None
        while at < NOON + MAX_AGE - IDLE_TIMEOUT:
            at += IDLE_TIMEOUT / 2
            logins.touch(session, token, at)
        assert logins.find_actor(session, token, at) == MIA
        assert logins.find_actor(session, token, NOON + MAX_AGE) is None


def test_a_token_is_revoked_by_logout_a_new_password_or_disabling(mia: Database) -> None:
    with mia.begin() as session:
        users.add(session, "leo", Role.VIEWER, PASSWORD, NOON)
    for end in ("log out", "password", "disable"):
        _, token = identity.log_in(mia, "leo", PASSWORD, NOON)
        with mia.begin() as session:
            assert logins.find_actor(session, token, NOON) is not None
            if end == "log out":
                logins.revoke(session, token)
            elif end == "password":
                users.set_password(session, "leo", PASSWORD)
            else:
                users.disable(session, "leo", NOON)
            assert logins.find_actor(session, token, NOON) is None
    with pytest.raises(LoginFailed):
        logins.authenticate(mia, "leo", PASSWORD, NOON)
    with mia.begin() as session:
        users.enable(session, "leo")
    assert logins.authenticate(mia, "leo", PASSWORD, NOON).name == "leo"


def test_a_hash_of_another_cost_is_replaced_at_login(mia: Database) -> None:
    with mia.begin() as session:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        session.scalars(select(UserRow)).one().password_hash = cheap
    logins.authenticate(mia, "mia", PASSWORD, NOON)
    with mia.read() as session:
        stored = session.scalars(select(UserRow.password_hash)).one()
    assert stored is not None
    assert not passwords.needs_rehash(stored)


def test_without_users_everybody_is_the_single_user(database: Database) -> None:
    with database.read() as session:
        assert identity.is_single_user(session)
        assert identity.actor_of_token(session, None, NOON) == Actor(SINGLE_USER, Role.ADMIN)
        assert identity.actor_of_login_service(session, "mia@example.com") == Actor(SINGLE_USER, Role.ADMIN)
    assert identity.actor_of_command(database, "weber", None, None, NOON) == Actor("weber", Role.ADMIN)


def test_with_users_pages_and_commands_need_a_login(mia: Database) -> None:
    _, token = identity.log_in(mia, "mia", PASSWORD, NOON)
    with mia.read() as session:
        assert identity.actor_of_token(session, None, NOON) is None
        assert identity.actor_of_token(session, token, NOON) == MIA
        assert identity.actor_of_login_service(session, "mia") == MIA
        assert identity.actor_of_login_service(session, "nobody") is None
    with pytest.raises(LoginFailed, match="ANDON_USER"):
        identity.actor_of_command(mia, "weber", None, None, NOON)
    assert identity.actor_of_command(mia, "weber", "mia", PASSWORD, NOON) == MIA


def test_an_unknown_user_is_reported(database: Database) -> None:
    with database.begin() as session, pytest.raises(NotFound, match="andon user list"):
        users.set_role(session, "nobody", Role.VIEWER)


def test_one_address_that_tries_many_names_is_slowed_down_and_no_other_is(mia: Database) -> None:
    def fails(name: str, address: str, after_s: float = 0.0) -> type[LoginFailed]:
        with pytest.raises(LoginFailed) as caught:
            logins.authenticate(mia, name, "a wrong guess", NOON + timedelta(seconds=after_s), address)
        return caught.type

    tried = [fails(f"name-{number}", "10.0.0.66") for number in range(30)]
    assert tried.count(LoginFailed) == MAX_ATTEMPTS_PER_ADDRESS
    assert tried.count(TooManyAttempts) == 30 - MAX_ATTEMPTS_PER_ADDRESS
    with pytest.raises(TooManyAttempts):
        logins.authenticate(mia, "mia", PASSWORD, NOON, "10.0.0.66")
    assert logins.authenticate(mia, "mia", PASSWORD, NOON, "10.0.0.7") == MIA
    assert [fails("late", "10.0.0.66", 21) for _ in range(2)] == [LoginFailed, TooManyAttempts]
    with mia.read() as session:
        assert len(session.scalars(select(LoginAttemptRow.name)).all()) == MAX_ATTEMPTS_PER_ADDRESS + 3


def test_people_who_log_in_do_not_slow_down_their_address(mia: Database) -> None:
    for _ in range(3 * MAX_ATTEMPTS_PER_ADDRESS):
        assert logins.authenticate(mia, "mia", PASSWORD, NOON, "10.0.0.7") == MIA


def test_a_name_that_can_t_be_printed_is_no_name_and_counts_nowhere(mia: Database) -> None:
    with pytest.raises(LoginFailed):
        logins.authenticate(mia, "\x7f10.0.0.7", PASSWORD, NOON, None)
    with mia.read() as session:
        assert session.scalars(select(LoginAttemptRow.name)).all() == []
