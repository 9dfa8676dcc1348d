"""Permission: a right is asked for where the data are changed, of who the person is at that moment."""

from sqlalchemy.orm import Session

from storage.auth import rights, users
from storage.auth.actors import Actor
from storage.auth.rights import Action
from storage.errors import PermissionDenied


def authorize(session: Session, actor: Actor, action: Action) -> Actor:
    """The actor in the role they have now; raises `PermissionDenied`.

    Once there are users the role is read from the database again: a page that was opened before somebody was
    disabled, lost a role, or before there were users at all, changes nothing any more.
    """
    rights.require(actor, action)
    if not users.any_exist(session):
        return actor
    now = users.find_actor(session, actor.name)
    if now is None:
        raise PermissionDenied(f"No user here is named {actor.name}, or not any more: log in.")
    rights.require(now, action)
    return now
