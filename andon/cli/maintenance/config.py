"""`andon config`: the settings in force, and where they come from."""

from dataclasses import asdict
from typing import Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import Json
from scorer.engines.measurements import FILE, EngineMeasurement, read_measurements

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
    from andon import settings, settings_reference

    if example:
        typer.echo(settings_reference.example_file(), nl=False)
        return
    in_force = command_context(context).load_settings()
    measured = read_measurements(in_force.settings.scorer.engines_path / FILE)
    rows = [
        (
            name,
            settings.display_value(value),
            in_force.origins.get(name, "default"),
        )
        for name, value in settings.settings_in_force(in_force.settings).items()
    ]
    if json:
        output.write_json(
            [
                {"setting": name, "value": value, "from": origin, "variable": settings.environment_variable(name)}
                | ({"measured": [asdict(one) for one in measured.values()]} if name == ENGINE else {})
                for name, value, origin in rows
            ]
        )
        return
    output.write_table(["setting", "value", "from"], rows, empty="There are no settings.")
    for one in measured.values():
        output.print_result(describe(one))


def describe(measurement: EngineMeasurement) -> str:
    """Return one sentence about a measurement of engines."""
    chosen = str(measurement.chosen)
    others = ", ".join(f"{name} {rate:g}" for name, rate in measurement.images_per_s.items() if name != chosen)
    comparison = f" ({others})" if others else ""
    return (
        f"{measurement.backbone} on this machine ({measurement.machine}): {chosen}, "
        f"{measurement.images_per_s[chosen]:g} images per second{comparison}; measured {measurement.measured_at}."
    )
