"""Output of commands: results go to stdout, messages go to stderr."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from andon.cli.terminal import visible
from foundation.masking import mask_secrets

if TYPE_CHECKING:
    from rich.console import Console

_C1_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
PIPE_WIDTH = 10_000  # columns where stdout is no terminal: a cell that is cut can't be searched


def print_result(sentence: str) -> None:
    """Write one line of the result to stdout."""
    typer.echo(visible(sentence))


def print_message(sentence: str) -> None:
    """Write one line about the work to stderr."""
    typer.echo(visible(mask_secrets(sentence)), err=True)


def write_document(text: str) -> None:
    """Write a document of several lines, such as HTML, to stdout as it is."""
    typer.echo(text)


def write_json(value: object) -> None:
    """Write a result to stdout as one JSON value; times are RFC 3339 in UTC."""
    typer.echo(_json_text(value, indent=2))


def write_json_line(value: object) -> None:
    """Write one value of a stream to stdout, as JSON on a line of its own (https://github.com/ndjson/ndjson-spec)."""
    typer.echo(_json_text(value, separators=(",", ":")))


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Write a table to stdout, or the sentence `empty` to stderr without rows."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if not table.row_count:
        print_message(empty)
        return
    stdout().print(table)


def write_pairs(pairs: Mapping[str, object]) -> None:
    """Write the fields of one object to stdout, one per line."""
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        print_result(f"{name:<{width}}  {cell(value)}")


def stdout() -> "Console":
    """Return a Rich console on stdout, as wide as the terminal, or very wide where stdout is none."""
    from rich.console import Console

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def stderr() -> "Console":
    """Return a Rich console on stderr."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def cell(value: object) -> str:
    """Return a value as a person reads it in a table: times in UTC, four significant digits, a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}"
    return visible(str(value))


def rfc3339(moment: datetime) -> str:
    """Return a time in UTC with microseconds and Z, such as ``2026-01-31T09:30:00.000000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _json_text(value: object, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """Return a value as JSON; the control characters that JSON allows, and terminals obey, are written as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, default=_json_of)
    return _C1_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _json_of(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)
