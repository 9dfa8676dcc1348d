"""Between rows and what travels: a record's fields are named like the columns they are kept in."""

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
    """The table's columns in the order of the record's fields."""
    return tuple(getattr(table, field.name) for field in fields(record))


def row_of(record: "DataclassInstance") -> dict[str, Any]:
    """The record's fields by column name, nothing copied."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def insert_into(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An insert that can say what happens on conflict, which each database spells by itself."""
    return insert_for(session.get_bind().dialect.name, table)


def insert_for(dialect: str, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """`insert_into` for a statement that is put together once and kept."""
    rows = table.__table__  # the ORM would look at every row again
    assert isinstance(rows, SqlTable)
    return sqlite.insert(rows) if dialect == "sqlite" else postgresql.insert(rows)


def insert_new(session: Session, table: type[Base], rows: Sequence[dict[str, Any]], key: str) -> set[Any]:
    """Insert the rows that break no unique constraint, in their order, and return the `key` column of those."""
    if not rows:
        return set()
    statement = _inserting_new(session.get_bind().dialect.name, table, key)
    return set(session.scalars(statement, list(rows)))


@cache
def _inserting_new(dialect: str, table: type[Base], key: str) -> ReturningInsert[tuple[Any]]:
    """Put together once: verdicts are written with it for each batch of frames."""
    return insert_for(dialect, table).on_conflict_do_nothing().returning(table.__table__.c[key])
