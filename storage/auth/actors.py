"""Actors: who does something, and the role in which they do it."""

from dataclasses import dataclass
from enum import StrEnum

SINGLE_USER = "single user"


class Role(StrEnum):
    """What somebody may do; each may do what the ones before may."""

    VIEWER = "viewer"
    INSPECTOR = "inspector"
    ENGINEER = "engineer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for the least."""
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person by name; `storage.auth.identity` knows who it is that uses a page or a command."""

    name: str
    role: Role
