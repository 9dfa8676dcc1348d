"""Documents written from the code: docs/commands.md, docs/settings.md and the example andon.toml.

``python -m andon.docs_generator docs`` writes the first two; a test holds them to the code.
"""

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from andon.settings import display_value, environment_variable, known_settings

SECTION_TITLES = {
    "andon": "Every process",
    "ingest": "Bus, producer and sources",
    "storage": "Database and images",
    "scorer": "Scoring",
    "alerts": "Alerts, shifts and KPIs",
    "dashboard": "Dashboard",
}
SETTINGS_INTRODUCTION = """\
# Settings

<!-- Written by `python -m andon.docs_generator docs`; change the code, not this file. -->

Settings come from defaults, then `andon.toml` (`--config FILE` or `ANDON_CONFIG` name another; else `./andon.toml`
is read if it is there), then environment variables. Later wins. An unknown key or variable is refused by name.
`andon config` shows what is in force and where it came from; `andon config --example` prints a file to begin with.
"""
COMMANDS_INTRODUCTION = """\
# Commands

<!-- Written by `python -m andon.docs_generator docs`; change the code, not this file. -->

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 it can't be done (one sentence says why),
2 wrong usage, 130 interrupted. Options before the command's name are for all commands.
"""


def settings_page() -> str:
    """docs/settings.md: one table a room."""
    parts = [SETTINGS_INTRODUCTION]
    for room, rows in _rooms():
        parts.append(
            f"\n## `[{room}]`: {SECTION_TITLES[room]}\n\n"
            "| key | variable | default | what it does |\n|---|---|---|---|\n"
        )
        parts += [
            f"| `{_key(name)}` | `{environment_variable(name)}` "
            f"| {_default_cell(field)} | {_cell(field.description)} |\n"
            for name, field in rows
        ]
    return "".join(parts)


def example_file() -> str:
    """A commented andon.toml: every setting with its default, commented out."""
    parts = ["# andon.toml: take the # from a line to change its setting. `andon config` shows what is in force.\n"]
    for room, rows in _rooms():
        parts.append(f"\n# {SECTION_TITLES[room]}\n[{room}]\n")
        for name, field in rows:
            parts.append(f"\n# {field.description}\n# {_key(name)} = {_toml_of(field)}\n")
    return "".join(parts)


def commands_page() -> str:
    """docs/commands.md: every command with its arguments and options."""
    from andon.cli import app

    top = get_command(app)
    return COMMANDS_INTRODUCTION + "".join(_command(top, typer.Context(top, info_name="andon"), "andon"))


def _rooms() -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    for room, rows in groupby(known_settings().items(), lambda row: row[0].partition(".")[0]):
        yield room, list(rows)


def _command(command: object, context: typer.Context, path: str) -> Iterator[str]:
    assert isinstance(command, TyperCommand | TyperGroup)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f"\n## `{path}`\n\n{command.help}\n\n```console\n$ {usage}\n```\n"
    records = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
    rows = [f"| `{_cell(name)}` | {_cell(text)} |\n" for name, text in records if "--help" not in name]
    if rows:
        yield "".join(["\n| | |\n|---|---|\n", *rows])
    if command.epilog:
        yield f"\n{command.epilog}\n"
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            child = command.commands[name]
            yield from _command(child, typer.Context(child, parent=context, info_name=name), f"{path} {name}")


def _key(name: str) -> str:
    return name.partition(".")[2]


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _default_cell(field: FieldInfo) -> str:
    default = display_value(field.get_default(call_default_factory=True))
    return "" if default in (None, "") else f"`{default}`"


def _toml_of(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, SecretStr):
        return '""'
    return json.dumps(display_value(default))


def main() -> None:
    """Write the pages into the folder named on the command line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
