"""What commands write: results on stdout, everything about them on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = (
    10_000  # columns when stdout is no terminal: a pipe has no right edge, and a cut cell can't be read by grep
)


def say(sentence: str) -> None:
    """One result line on stdout."""
    typer.echo(sentence)


def note(sentence: str) -> None:
    """One line about the work on stderr."""
    typer.echo(sentence, err=True)


def write_json(value: object) -> None:
    """The whole answer as one JSON value on stdout; times are RFC 3339 in UTC."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_json_of))


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows under their headings on stdout, or the sentence `empty` on stderr when there is none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if not table.row_count:
        note(empty)
        return
    stdout().print(table)


def write_pairs(pairs: Mapping[str, object]) -> None:
    """One thing's fields on stdout, a line each."""
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        say(f"{name:<{width}}  {cell(value)}")


def stdout() -> "Console":
    """Rich's console on stdout, as wide as the terminal, or without an edge where there is none."""
    from rich.console import Console

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def stderr() -> "Console":
    """Rich's console on stderr."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def cell(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def rfc3339(moment: datetime) -> str:
    """UTC with microseconds and Z: 2026-01-31T09:30:00.000000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json_of(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)
