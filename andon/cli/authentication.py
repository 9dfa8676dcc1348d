"""Who runs a command: the user of this machine until Andon has users, then the user that logs in."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from andon.cli.context import command_context
from foundation.clock import utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from storage.auth.actors import Actor
    from storage.database.engine import Database


def current_actor(database: "Database") -> "Actor":
    """Return the actor of a command that changes something.

    Name and password come from the environment, or from prompts on a terminal.

    Raises:
        LoginFailed: Andon has users, and name and password are missing or wrong.
    """
    from andon.settings import NAME_VARIABLE, PASSWORD_VARIABLE
    from storage.auth import identity

    name, password = os.environ.get(NAME_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    with database.read() as session:
        single_user = identity.is_single_user(session)
    if not single_user and sys.stdin.isatty():
        name = name or input("User: ")
        password = password or getpass.getpass("Password: ")
    return identity.actor_of_command(database, _system_name(), name, password, utc_now())


@contextmanager
def authenticated_session(context: typer.Context) -> "Iterator[tuple[Session, Actor]]":
    """Open the database, authenticate the person, and begin the transaction of a change.

    Yields the session, committed at the end of the block, and the actor. Raises as `current_actor`.
    """
    from andon import wiring

    with wiring.open_database(command_context(context).settings()) as database:
        actor = current_actor(database)
        with database.begin() as session:
            yield session, actor


def read_new_password(from_stdin: bool) -> str:
    """Read a password to be set: one line of stdin, or typed twice on a terminal.

    Raises:
        CommandFailed: Neither is possible, or the two passwords differ.
    """
    from andon.errors import CommandFailed

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandFailed("Type the new password on a terminal, or pass it on stdin with --password-stdin.")
    password = getpass.getpass("New password: ")
    if getpass.getpass("Repeat it: ") != password:
        raise CommandFailed("The two passwords differ.")
    return password


def _system_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
