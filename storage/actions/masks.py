"""Actions on masks: what of a station's picture is not inspected."""

from datetime import datetime

from sqlalchemy.orm import Session

from storage.actions.audited import audited
from storage.areas import masks
from storage.areas.masks import Mask, MaskVersion
from storage.auth.actors import Actor
from storage.line import stations


def set_mask(
    session: Session, actor: Actor, name: str, mask: Mask, at: datetime, reason: str = ""
) -> MaskVersion | None:
    """Store a new version of a station's mask, an empty one to inspect everything again; None if it is the same.

    Raises:
        InvalidChange: The mask leaves nothing to inspect.
        NotFound: There is no such station.
        PermissionDenied: The actor may not edit stations.
    """
    subject = f"mask of {name}"
    with audited(session, actor, "station.edit", at, subject, station=name, reason=reason) as change:
        station = stations.get(session, name)
        stations.lock(session, station.id)
        before = masks.mask_of(session, station.id, station.mask_version)
        change.before, change.after = before.to_json(), mask.to_json()
        if before == mask:
            return None
        return masks.record(session, station.id, mask, at, actor.name)
