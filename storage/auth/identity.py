"""Identity: who it is that uses a page or a command.

While there are no users Andon is in single-user mode: whoever opens a page may do everything. That suits the demo and
one engineer's machine, and pages say so; adding the first user, an admin, ends it.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.auth import logins, users
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.database.engine import Database
from storage.errors import LoginFailed

SINGLE_USER_ACTOR = Actor(SINGLE_USER, Role.ADMIN)


def is_single_user(session: Session) -> bool:
    """Whether there are no users yet, and everybody may do everything."""
    return not users.any_exist(session)


def actor_of_token(session: Session, token: str | None, at: datetime) -> Actor | None:
    """Who holds this token, or everybody's actor in single-user mode; None: somebody has to log in."""
    if is_single_user(session):
        return SINGLE_USER_ACTOR
    return None if token is None else logins.find_actor(session, token, at)


def actor_of_login_service(session: Session, name: str) -> Actor | None:
    """Who another login service (OIDC) says this is: a user of that name; None for an unknown or a disabled one."""
    return SINGLE_USER_ACTOR if is_single_user(session) else users.find_actor(session, name)


def log_in(database: Database, name: str, password: str, at: datetime) -> tuple[Actor, str]:
    """Check, and give a token for the browser to keep; raises `LoginFailed`."""
    actor = logins.authenticate(database, name, password, at)
    with database.begin() as session:
        return actor, logins.create(session, actor.name, at)


def actor_of_command(
    database: Database, system_name: str, name: str | None, password: str | None, at: datetime
) -> Actor:
    """Who runs a command: in single-user mode the machine's own user, as an admin; else who name and password say.

    Raises `LoginFailed`, also when there are users and no name or password was given.
    """
    with database.read() as session:
        if is_single_user(session):
            return Actor(system_name or SINGLE_USER, Role.ADMIN)
    if not name or password is None:
        raise LoginFailed("There are users here: say who you are by ANDON_USER and ANDON_PASSWORD.")
    return logins.authenticate(database, name, password, at)
