"""Permission: a right is asked for where the data are changed, of who the person is at that moment."""

from sqlalchemy.orm import Session

from storage import rights, users
from storage.actors import Actor
from storage.errors import NotAllowed
from storage.rights import Action


def permit(session: Session, actor: Actor, action: Action) -> Actor:
    """The actor in the role they have now; raises `NotAllowed`.

    Once there are users the role is read from the database again: a page that was opened before somebody was
    disabled, lost a role, or before there were users at all, changes nothing any more.
    """
    rights.require(actor, action)
    if not users.exist(session):
        return actor
    now = users.actor_named(session, actor.name)
    if now is None:
        raise NotAllowed(f"No user here is named {actor.name}, or not any more: log in.")
    rights.require(now, action)
    return now
