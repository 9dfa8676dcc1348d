"""Actors: who does something, and in which role."""

from dataclasses import dataclass
from enum import StrEnum

SINGLE_USER = "single user"


class Role(StrEnum):
    """What a person may do; each role includes the rights of the roles before it."""

    VIEWER = "viewer"
    INSPECTOR = "inspector"
    ENGINEER = "engineer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """The position in the order of roles, 0 for the least."""
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person by name; `storage.auth.identity` finds out who uses a page or runs a command."""

    name: str
    role: Role


AUTOPILOT = Actor("autopilot", Role.ENGINEER)
"""Who acts where a station's autopilot does. No user can have this name, and only this very object has its rights."""
