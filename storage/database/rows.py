"""Between table rows and records: a record's fields are named like the columns that store them."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.dml import ReturningInsert

from storage.database.tables import Base

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def columns_of(table: type[Base], record: type["DataclassInstance"]) -> tuple[InstrumentedAttribute[Any], ...]:
    """Return the table's columns in the order of the record's fields."""
    return tuple(getattr(table, field.name) for field in fields(record))


def row_of(record: "DataclassInstance") -> dict[str, Any]:
    """Return the record's fields by column name, without copying their values."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def insert_into(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that supports ON CONFLICT, which each database spells in its own way."""
    return insert_for(session.get_bind().dialect.name, table)


def insert_for(dialect: str, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """Return an insert as `insert_into` does, for a statement that is built once and cached."""
    rows = table.__table__  # bypasses the ORM's bookkeeping for every row
    assert isinstance(rows, SqlTable)
    return sqlite.insert(rows) if dialect == "sqlite" else postgresql.insert(rows)


def insert_new(session: Session, table: type[Base], rows: Sequence[dict[str, Any]], key: str) -> set[Any]:
    """Insert the rows that violate no unique constraint, in their order; return their `key` column."""
    if not rows:
        return set()
    statement = _inserting_new(session.get_bind().dialect.name, table, key)
    return set(session.scalars(statement, list(rows)))


@cache
def _inserting_new(dialect: str, table: type[Base], key: str) -> ReturningInsert[tuple[Any]]:
    """Build the statement once per table: every batch of frames executes it."""
    return insert_for(dialect, table).on_conflict_do_nothing().returning(table.__table__.c[key])
