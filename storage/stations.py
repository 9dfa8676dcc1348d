"""Stations: one camera position each, with its settings."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

WithoutNormals = Literal["wait", "no_reference"]
Framing = Literal["letterbox", "stretch", "centre_crop"]


@dataclass(frozen=True, slots=True)
class StationSettings:
    """What a person sets; `false_reject_rate` is a share in (0, 1), silence past `stale_after_s` turns the wall red."""

    object_name: str = "part"
    without_normals: WithoutNormals = "wait"
    framing: Framing = "letterbox"
    false_reject_rate: float = 0.01
    stale_after_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Station:
    id: int
    name: str
    settings: StationSettings
    created_at: datetime


def add(session: Session, name: str, settings: StationSettings, at: datetime) -> Station:
    """Raises `RuleBroken` for a name that is taken or is not 1 to 64 of a-z, 0-9, dash, dot and underscore."""
    raise NotImplementedError


def edit(session: Session, name: str, settings: StationSettings) -> Station:
    raise NotImplementedError


def get(session: Session, name: str) -> Station:
    """Raises `NotFound`, naming the stations there are."""
    raise NotImplementedError


def list_all(session: Session) -> list[Station]:
    """By name."""
    raise NotImplementedError
