"""What every table has in common: the base class, ids and times."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from foundation.clock import from_epoch_us, to_epoch_us

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit primary key; SQLite generates values only for a column of the type INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, exact to the microsecond.

    PostgreSQL stores it as ``timestamptz``. SQLite has no such type and stores whole microseconds since 1970, so that
    time buckets are computed by integer arithmetic (docs/adr/0005).
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of this database."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the value to store; raises `ValueError` for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} has no time zone: pass an aware time")
        return to_epoch_us(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the stored value as a UTC time."""
        if value is None:
            return None
        stored: datetime = from_epoch_us(value) if dialect.name == "sqlite" else value
        return stored.astimezone(UTC)


class Base(DeclarativeBase):
    """Base class of all tables; constraints have predictable names, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
