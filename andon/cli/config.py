"""`andon config`: what is in force, and where it came from."""

from typing import Annotated

import typer

from andon.cli import output
from andon.cli.front import front
from andon.cli.options import Json

KEYS = ("setting", "value", "from", "variable")


def config(
    context: typer.Context,
    json: Json = False,
    example: Annotated[
        bool, typer.Option("--example", metavar="", help="Print a commented andon.toml with the defaults.")
    ] = False,
) -> None:
    """Show the settings in force and where each came from; secrets are masked."""
    from andon import documents, settings

    if example:
        typer.echo(documents.example_file(), nl=False)
        return
    in_force = front(context).in_force()
    rows = [
        (name, settings.shown(settings.value_of(in_force.settings, name)), in_force.origins.get(name, "default"))
        for name in settings.known()
    ]
    if json:
        output.write_json(
            [
                {"setting": name, "value": value, "from": origin, "variable": settings.variable(name)}
                for name, value, origin in rows
            ]
        )
        return
    output.write_table(["setting", "value", "from"], rows, empty="There are no settings.")
