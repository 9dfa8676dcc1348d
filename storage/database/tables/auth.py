"""Tables of users, logins and the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, BigId, UtcDateTime


class UserRow(Base):
    """A person who can log in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(9))  # 'viewer', 'inspector', 'engineer' or 'admin'
    password_hash: Mapped[str | None] = mapped_column(String(200))  # argon2id; None for who logs in elsewhere (OIDC)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LoginRow(Base):
    """One browser that is logged in; only the hash of its token is stored."""

    __tablename__ = "logins"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LoginAttemptRow(Base):
    """The number of attempts to log in by a name since `first_at`, whether such a user exists or not."""

    __tablename__ = "login_attempts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class AuditRow(Base):
    """One audited change; triggers of the second migration refuse to change or delete it."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_time", "at", "id"),
        Index("ix_audit_actor_time", "actor", "at", "id"),
        Index("ix_audit_action_time", "action", "at", "id"),
        Index("ix_audit_station_time", "station", "at", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(9))
    action: Mapped[str] = mapped_column(String(40))
    station: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    before: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str] = mapped_column(String(500))
    hash: Mapped[str | None] = mapped_column(String(64))  # storage/auth/audit_chain.py
