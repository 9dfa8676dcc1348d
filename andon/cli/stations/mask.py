"""`andon station mask`: what of a station's picture is not inspected."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import Json, json_keys_help
from andon.errors import CommandFailed
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.areas.masks import MaskVersion

app = typer.Typer(help="Set, show and clear what of a station's picture is not inspected.", no_args_is_help=True)

Station = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for the audit log.", show_default=False)]

KEYS = ("station", "version", "in_force", "ignored", "region_of_interest", "made_at", "made_by")


@app.command("set")
def set_mask(
    context: typer.Context,
    station: Station,
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON with the polygons to ignore and the region of interest, in fractions of the picture: "
            '{"ignored": [[[0.1, 0.1], [0.3, 0.1], [0.3, 0.2]]], "region_of_interest": []}.',
            show_default=False,
            exists=True,
            dir_okay=False,
        ),
    ],
    reason: Reason = "",
) -> None:
    """Inspect a station's frames without the areas of a JSON file, from the next batch of frames on.

    Scorers compute new references and a new threshold for it.
    """
    from storage.actions import masks as mask_actions
    from storage.areas.masks import mask_from_json

    try:
        mask = mask_from_json(json_format.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise CommandFailed(f"{file} is not JSON in UTF-8: {error}.") from error
    with authentication.authenticated_session(context) as (session, actor):
        made = mask_actions.set_mask(session, actor, station, mask, utc_now(), reason)
    if made is None:
        output.print_result(f"{station} has this mask already.")
        return
    output.print_result(f"{station} is inspected with mask {made.version}; running scorers apply it within seconds.")


@app.command(epilog=json_keys_help("each version", KEYS))
def show(context: typer.Context, station: Station, json: Json = False) -> None:
    """Show the versions of a station's mask, the newest first; that in force is marked."""
    from andon import wiring
    from storage.areas import masks
    from storage.line import stations

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = stations.get(session, station)
        versions = masks.history(session, found.id)
    rows = [json_of(station, one, one.version == found.mask_version) for one in versions]
    if json:
        output.write_json(rows)
        return
    output.write_table(
        ["version", "in force", "ignored areas", "regions of interest", "made at (UTC)", "by"],
        [
            (
                one.version,
                "yes" if one.version == found.mask_version else "",
                len(one.mask.ignored),
                len(one.mask.region_of_interest),
                one.made_at,
                one.made_by,
            )
            for one in versions
        ],
        empty=f"{station} has no mask: all of its picture is inspected.",
    )


@app.command()
def clear(context: typer.Context, station: Station, reason: Reason = "") -> None:
    """Inspect all of a station's picture again, from the next batch of frames on."""
    from storage.actions import masks as mask_actions
    from storage.areas.masks import Mask

    with authentication.authenticated_session(context) as (session, actor):
        mask_actions.set_mask(session, actor, station, Mask(), utc_now(), reason)
    output.print_result(f"All of {station}'s picture is inspected; running scorers apply it within seconds.")


def json_of(station: str, made: "MaskVersion", in_force: bool) -> dict[str, object]:
    """Return a version of a mask as a JSON object, with its station's name."""
    about = {"station": station, "version": made.version, "in_force": in_force}
    return about | made.mask.to_json() | {"made_at": made.made_at, "made_by": made.made_by}
