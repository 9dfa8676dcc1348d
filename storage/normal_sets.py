"""Normal sets: numbered, immutable versions of a station's good images (draft → active → retired)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

State = Literal["draft", "active", "retired"]


@dataclass(frozen=True, slots=True)
class NormalImage:
    """One good image in the image store; `name` is where it came from, for people."""

    reference: str
    name: str


@dataclass(frozen=True, slots=True)
class NormalSet:
    id: int
    station_id: int
    version: int
    state: State
    note: str
    images: tuple[NormalImage, ...]
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None


def add(session: Session, station_id: int, images: Sequence[NormalImage], note: str, at: datetime) -> NormalSet:
    """Make the next version as a draft; 2 to 64 different images, else `RuleBroken`."""
    raise NotImplementedError


def activate(session: Session, station_id: int, version: int, at: datetime) -> NormalSet:
    """Make this version the active one and retire the one that was; a retired version can be activated again."""
    raise NotImplementedError


def rollback(session: Session, station_id: int, at: datetime) -> NormalSet:
    """Activate the version that was active before the present one; `RuleBroken` when there was none."""
    raise NotImplementedError


def get(session: Session, station_id: int, version: int) -> NormalSet:
    raise NotImplementedError


def active(session: Session, station_id: int) -> NormalSet | None:
    raise NotImplementedError


def active_ids(session: Session) -> Mapping[int, int]:
    """Station id → id of its active normal set; one cheap query, for workers to notice a change by."""
    raise NotImplementedError


def list_of(session: Session, station_id: int) -> list[NormalSet]:
    """Newest first."""
    raise NotImplementedError
