"""Actions on normal sets, and on the frames proposed for the next one."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from storage.actions.audited import Change, audited
from storage.auth.actors import Actor
from storage.errors import InvalidChange
from storage.line import normal_candidates, normal_sets, stations, verdicts
from storage.line.normal_candidates import NormalCandidate
from storage.line.normal_sets import NormalImage, NormalSet


def add(
    session: Session,
    actor: Actor,
    station: str,
    images: Sequence[NormalImage],
    note: str,
    at: datetime,
    bit_depth: int | None = None,
) -> NormalSet:
    """Create the station's next version from these images, as a draft; raises as `normal_sets.add`."""
    with audited(session, actor, "normal_set.add", at, station=station, reason=note) as change:
        added = normal_sets.add(session, stations.get(session, station).id, images, note, at, bit_depth)
        _describe_draft(change, None, added)
    return added


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
    """Create a draft from version `base` (else the active one, else nothing), without `drop`, with `images` added.

    `drop` are image references; an image of the base is not added twice. Raises `NotFound`, and `InvalidChange` for a
    draft that would equal its base or have too few or too many images.
    """
    with audited(session, actor, "normal_set.add", at, station=station, reason=note) as change:
        station_id = stations.get(session, station).id
        before = normal_sets.active(session, station_id) if base is None else normal_sets.get(session, station_id, base)
        old = before.images if before else ()
        unchanged = [image for image in old if image.reference not in drop]
        new = {image.reference: image for image in (*unchanged, *images)}
        if before and list(new) == [image.reference for image in old]:
            raise InvalidChange(f"The draft would equal normal set {before.version}: add or drop an image.")
        drafted = normal_sets.add(session, station_id, list(new.values()), note, at)
        _describe_draft(change, before, drafted)
    return drafted


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
    """Create a draft from version `base` (else the active one) and all candidates, which are then removed.

    Raises as `draft`.
    """
    station_id = stations.get(session, station).id
    candidates = normal_candidates.list_all(session, station_id)
    images = [NormalImage(candidate.image_reference, candidate.name) for candidate in candidates]
    drafted = draft(session, actor, station, images, note, at, drop=drop, base=base)
    normal_candidates.remove(session, station_id, [candidate.image_reference for candidate in candidates])
    return drafted


def activate(session: Session, actor: Actor, station: str, version: int, at: datetime, reason: str = "") -> NormalSet:
    """Put a version in force; raises as `normal_sets.activate`."""
    subject = f"normal set {version}"
    with audited(session, actor, "normal_set.activate", at, subject, station=station, reason=reason) as change:
        station_id = stations.get(session, station).id
        change.before = _size(normal_sets.active(session, station_id))
        activated = normal_sets.activate(session, station_id, version, at)
        change.after = _size(activated)
    return activated


def rollback(session: Session, actor: Actor, station: str, at: datetime, reason: str = "") -> NormalSet:
    """Put the version in force that was active before; raises as `normal_sets.rollback`."""
    with audited(session, actor, "normal_set.rollback", at, station=station, reason=reason) as change:
        station_id = stations.get(session, station).id
        change.before = _size(normal_sets.active(session, station_id))
        activated = normal_sets.rollback(session, station_id, at)
        change.subject = f"normal set {activated.version}"
        change.after = _size(activated)
    return activated


def propose(session: Session, actor: Actor, frame_id: UUID, at: datetime) -> bool:
    """Propose this frame for its station's next normal set; return False where it already was.

    Raises `NotFound`, and `InvalidChange` for a bad picture.
    """
    with audited(session, actor, "normal_set.propose", at, f"frame {frame_id}") as change:
        verdict = verdicts.get(session, frame_id)
        if verdict.decision == "bad_picture":
            raise InvalidChange(
                f"Frame {frame_id} is a bad picture ({verdict.picture_problem}) and can't become a normal: if the "
                "light was changed on purpose, add normals that were captured under it."
            )
        candidate = NormalCandidate(
            station_id=verdict.station_id,
            image_reference=verdict.image_reference,
            name=f"frame {frame_id} of {verdict.captured_at:%Y-%m-%d %H:%M:%S}",
            proposed_by=change.actor.name,
            proposed_at=at,
        )
        is_new = normal_candidates.add(session, candidate)
        if is_new:
            change.station = stations.name_of(session, verdict.station_id)
            change.after = {"candidate": verdict.image_reference}
    return is_new


def withdraw(session: Session, actor: Actor, station: str, image_references: Sequence[str], at: datetime) -> int:
    """Remove these images from the candidates; return how many of them were candidates. Raises `NotFound`."""
    with audited(session, actor, "normal_set.propose", at, "normal candidates", station=station) as change:
        removed = normal_candidates.remove(session, stations.get(session, station).id, image_references)
        if removed:
            change.before = {"candidates": image_references}
    return removed


def _describe_draft(change: Change, before: NormalSet | None, drafted: NormalSet) -> None:
    difference = normal_sets.diff(before, drafted)
    change.subject = f"normal set {drafted.version}"
    change.before = _size(before)
    change.after = {
        "version": drafted.version,
        "images": len(drafted.images),
        "added": [image.reference for image in difference.added],
        "removed": [image.reference for image in difference.removed],
    }


def _size(normal_set: NormalSet | None) -> dict[str, Any] | None:
    return None if normal_set is None else {"version": normal_set.version, "images": len(normal_set.images)}
