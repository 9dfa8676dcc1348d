"""Identity: who uses a page or runs a command.

While no users exist, Andon is in single-user mode: whoever opens a page may do everything. That suits the demo and a
single engineer's machine, and pages say so; adding the first user, an admin, ends it.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import logins, users
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.database.engine import Database
from storage.errors import LoginFailed

SINGLE_USER_ACTOR = Actor(SINGLE_USER, Role.ADMIN)


def is_single_user(session: Session) -> bool:
    """Return whether no users exist yet, so that everybody may do everything."""
    return not users.any_exist(session)


def actor_of_token(session: Session, token: str | None, at: datetime) -> Actor | None:
    """Return the token's actor, or the single user; None when somebody has to log in."""
    if is_single_user(session):
        return SINGLE_USER_ACTOR
    return None if token is None else logins.find_actor(session, token, at)


def actor_of_login_service(session: Session, name: str) -> Actor | None:
    """Return the actor that a login service (OIDC) names; None for an unknown or disabled user."""
    return SINGLE_USER_ACTOR if is_single_user(session) else users.find_actor(session, name)


def log_in(database: Database, name: str, password: str, at: datetime, address: str | None = None) -> tuple[Actor, str]:
    """Authenticate who tries from a network address, and create a token for the browser; raises `LoginFailed`."""
    actor = logins.authenticate(database, name, password, at, address)
    with database.begin() as session:
        return actor, logins.create(session, actor.name, at)


def actor_of_command(
    database: Database, system_name: str, name: str | None, password: str | None, at: datetime
) -> Actor:
    """Return who runs a command: the system user as an admin in single-user mode, else the user of name and password.

    Raises `LoginFailed`, also when users exist and no name or password was given.
    """
    with database.read() as session:
        if is_single_user(session):
            return Actor(system_name or SINGLE_USER, Role.ADMIN)
    if not name or password is None:
        raise LoginFailed("This installation has users: set ANDON_USER and ANDON_PASSWORD.")
    return logins.authenticate(database, name, password, at)
