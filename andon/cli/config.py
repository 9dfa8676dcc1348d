"""`andon config`: what is in force, and where it came from."""

from dataclasses import asdict
from typing import Annotated

import typer

from andon.cli import output
from andon.cli.front import front
from andon.cli.options import Json
from scorer.engines.measured import FILE, Measured, kept

ENGINE = "scorer.engine"
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
    measured = kept(in_force.settings.scorer.engines_path / FILE)
    rows = [
        (name, settings.shown(settings.value_of(in_force.settings, name)), in_force.origins.get(name, "default"))
        for name in settings.known()
    ]
    if json:
        output.write_json(
            [
                {"setting": name, "value": value, "from": origin, "variable": settings.variable(name)}
                | ({"measured": [asdict(one) for one in measured.values()]} if name == ENGINE else {})
                for name, value, origin in rows
            ]
        )
        return
    output.write_table(["setting", "value", "from"], rows, empty="There are no settings.")
    for one in measured.values():
        output.say(spoken(one))


def spoken(one: Measured) -> str:
    """What was measured, in a sentence."""
    others = ", ".join(f"{name} {rate:g}" for name, rate in one.pictures_per_s.items() if name != str(one.running))
    beside = f" ({others})" if others else ""
    return (
        f"{one.backbone} on this machine ({one.machine}): {one.running}, "
        f"{one.pictures_per_s[str(one.running)]:g} pictures a second{beside}; measured {one.measured_at}."
    )
