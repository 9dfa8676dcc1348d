"""What people do to normal sets, and to the frames picked for the next one."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor
from storage.auth.permission import authorize
from storage.errors import InvalidChange
from storage.line import normal_candidates, normal_sets, stations, verdicts
from storage.line.normal_candidates import NormalCandidate
from storage.line.normal_sets import NormalImage, NormalSet


def add(
    session: Session, actor: Actor, station: str, images: Sequence[NormalImage], note: str, at: datetime
) -> NormalSet:
    """Make the station's next version of these images, as a draft; raises `PermissionDenied`, and as
    `normal_sets.add`."""
    who = authorize(session, actor, "normal_set.add")
    made = normal_sets.add(session, stations.get(session, station).id, images, note, at)
    _enter(session, who, station, None, made, at)
    return made


def draft(
    session: Session,
    actor: Actor,
    station: str,
    images: Sequence[NormalImage],
    note: str,
    at: datetime,
    *,
    drop: Collection[str] = (),
    base: int | None = None,
) -> NormalSet:
    """Make a draft of version `base` (else the active one, else of nothing), without `drop`, with `images` added.

    `drop` are image references; an image that is there already is not added twice. Raises `PermissionDenied`,
    `NotFound`,
    and `InvalidChange` for a draft that would equal its base or have too few or too many images.
    """
    who = authorize(session, actor, "normal_set.add")
    station_id = stations.get(session, station).id
    before = normal_sets.active(session, station_id) if base is None else normal_sets.get(session, station_id, base)
    kept = [image for image in (before.images if before else ()) if image.reference not in drop]
    wanted = list({image.reference: image for image in (*kept, *images)}.values())
    if before is not None and [one.reference for one in wanted] == [one.reference for one in before.images]:
        raise InvalidChange(f"The draft would be the same as normal set {before.version}: add or drop an image.")
    made = normal_sets.add(session, station_id, wanted, note, at)
    _enter(session, who, station, before, made, at)
    return made


def draft_from_candidates(
    session: Session,
    actor: Actor,
    station: str,
    note: str,
    at: datetime,
    *,
    drop: Collection[str] = (),
    base: int | None = None,
) -> NormalSet:
    """Make a draft of version `base` (else the active one) and all picked frames, picked no more; raises as `draft`."""
    station_id = stations.get(session, station).id
    picked = normal_candidates.list_all(session, station_id)
    images = [NormalImage(pick.image_reference, pick.name) for pick in picked]
    made = draft(session, actor, station, images, note, at, drop=drop, base=base)
    normal_candidates.remove(session, station_id, [pick.image_reference for pick in picked])
    return made


def activate(session: Session, actor: Actor, station: str, version: int, at: datetime, reason: str = "") -> NormalSet:
    """As `normal_sets.activate`; raises `PermissionDenied`. Activating the active one is no entry."""
    who = authorize(session, actor, "normal_set.activate")
    station_id = stations.get(session, station).id
    before = normal_sets.active(session, station_id)
    now_active = normal_sets.activate(session, station_id, version, at)
    if before is None or before.version != version:
        audit_log.record(
            session,
            who,
            "normal_set.activate",
            at,
            station=station,
            subject=f"normal set {version}",
            before=_version(before),
            after=_version(now_active),
            reason=reason,
        )
    return now_active


def rollback(session: Session, actor: Actor, station: str, at: datetime, reason: str = "") -> NormalSet:
    """As `normal_sets.rollback`; raises `PermissionDenied`."""
    who = authorize(session, actor, "normal_set.rollback")
    station_id = stations.get(session, station).id
    before = normal_sets.active(session, station_id)
    now_active = normal_sets.rollback(session, station_id, at)
    audit_log.record(
        session,
        who,
        "normal_set.rollback",
        at,
        station=station,
        subject=f"normal set {now_active.version}",
        before=_version(before),
        after=_version(now_active),
        reason=reason,
    )
    return now_active


def propose(session: Session, actor: Actor, frame_id: UUID, at: datetime) -> bool:
    """Want this frame in its station's next normal set; False where it was wanted already. Raises
    `PermissionDenied`."""
    who = authorize(session, actor, "normal_set.propose")
    verdict = verdicts.get(session, frame_id)
    name = f"frame {frame_id} of {verdict.captured_at:%Y-%m-%d %H:%M:%S}"
    is_new = normal_candidates.add(
        session, NormalCandidate(verdict.station_id, verdict.image_reference, name, who.name, at)
    )
    if is_new:
        station = stations.name_of(session, verdict.station_id)
        after = {"picked": verdict.image_reference}
        audit_log.record(
            session, who, "normal_set.propose", at, station=station, subject=f"frame {frame_id}", after=after
        )
    return is_new


def withdraw(session: Session, actor: Actor, station: str, image_references: Sequence[str], at: datetime) -> int:
    """Want these images no more; return how many were wanted. Raises `PermissionDenied`."""
    who = authorize(session, actor, "normal_set.propose")
    dropped = normal_candidates.remove(session, stations.get(session, station).id, image_references)
    if dropped:
        before = {"picked": image_references}
        audit_log.record(
            session, who, "normal_set.propose", at, station=station, subject="picked frames", before=before
        )
    return dropped


def _enter(session: Session, who: Actor, station: str, before: NormalSet | None, made: NormalSet, at: datetime) -> None:
    change = normal_sets.diff(before, made)
    after: dict[str, Any] = {
        "version": made.version,
        "images": len(made.images),
        "added": [image.reference for image in change.added],
        "left": [image.reference for image in change.left],
    }
    audit_log.record(
        session,
        who,
        "normal_set.add",
        at,
        station=station,
        subject=f"normal set {made.version}",
        before=_version(before),
        after=after,
        reason=made.note,
    )


def _version(normal_set: NormalSet | None) -> dict[str, Any] | None:
    return None if normal_set is None else {"version": normal_set.version, "images": len(normal_set.images)}
