"""SQL expressions that differ between SQLite and PostgreSQL, and periods as a table to join with."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, JSON, Integer, column, literal, values
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement, SQLColumnExpression
from sqlalchemy.sql.functions import FunctionElement

from foundation.clock import MICROSECOND
from storage.database.tables import UtcDateTime


class _BucketStart(FunctionElement[datetime]):
    name = "bucket_start"
    inherit_cache = True
    type = UtcDateTime()


class _IntegerPart(FunctionElement[int]):
    name = "integer_part"
    inherit_cache = True
    type = Integer()


class _JsonArrayAgg(FunctionElement[list[float]]):
    name = "json_array_agg"
    inherit_cache = True
    type = JSON()


def bucket_start(at: SQLColumnExpression[datetime], width: timedelta) -> ColumnElement[datetime]:
    """Return the start of the bucket that contains `at`; buckets are whole multiples of `width` since 1970, UTC."""
    return _BucketStart(at, literal(width // MICROSECOND))


def periods_table(periods: Sequence[tuple[int, datetime, datetime]], name: str) -> CTE:
    """Return rows (number, since, until) to join with, so that one query serves many periods."""
    columns = (column("number", Integer), column("since", UtcDateTime), column("until", UtcDateTime))
    return values(*columns, name=name).data(list(periods)).cte(name)


def integer_part(number: ColumnElement[Any]) -> ColumnElement[int]:
    """Return a number of at least 0 without its fraction."""
    return _IntegerPart(number)


def json_array_agg(numbers: ColumnElement[Any]) -> ColumnElement[list[float]]:
    """Aggregate all numbers to one list, in the order of the rows; SQLite keeps 15 digits of each."""
    return _JsonArrayAgg(numbers)


@compiles(_BucketStart, "sqlite")
def _bucket_start_sqlite(element: _BucketStart, compiler: SQLCompiler, **kw: Any) -> str:
    at, width = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({at} / {width}) * {width}"


@compiles(_BucketStart, "postgresql")
def _bucket_start_postgres(element: _BucketStart, compiler: SQLCompiler, **kw: Any) -> str:
    at, width = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"date_bin({width} * interval '1 microsecond', {at}, timestamptz '1970-01-01 00:00:00+00')"


@compiles(_IntegerPart, "sqlite")
def _integer_part_sqlite(element: _IntegerPart, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS INTEGER)"


@compiles(_IntegerPart, "postgresql")
def _integer_part_postgres(element: _IntegerPart, compiler: SQLCompiler, **kw: Any) -> str:
    return f"floor({compiler.process(element.clauses, **kw)})::integer"


@compiles(_JsonArrayAgg, "sqlite")
def _json_array_agg_sqlite(element: _JsonArrayAgg, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **kw)})"


@compiles(_JsonArrayAgg, "postgresql")
def _json_array_agg_postgres(element: _JsonArrayAgg, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_agg({compiler.process(element.clauses, **kw)})"
