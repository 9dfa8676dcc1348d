"""Permission: checked in the transaction that changes data, for the role that the person has at that moment."""

from sqlalchemy.orm import Session

from storage.auth import rights, users
from storage.auth.actors import AUTOPILOT, Actor
from storage.auth.rights import Action
from storage.errors import PermissionDenied


def authorize(session: Session, actor: Actor, action: Action) -> Actor:
    """Return the actor in the role they have now; raises `PermissionDenied`.

    Once users exist, the role is read from the database: a page that was opened before somebody was disabled, lost a
    role, or before the first user was added, changes nothing any more. The autopilot is no user, and keeps its role.
    """
    rights.require(actor, action)
    if actor is AUTOPILOT:
        return actor
    if not users.any_exist(session):
        return actor
    now = users.find_actor(session, actor.name)
    if now is None:
        raise PermissionDenied(f"There is no active user {actor.name}: log in.")
    rights.require(now, action)
    return now
