"""`andon defects`: what a station learnt from the frames that people called defects."""

from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import Json, Limit, json_keys_help

if TYPE_CHECKING:
    from storage.learning.defect_sets import DefectSet

app = typer.Typer(help="Show the defect sets of a station.", no_args_is_help=True)

Station = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]

KEYS = (
    "station",
    "version",
    "normal_set",
    "model_id",
    "scoring_model_id",
    "defects",
    "good_frames",
    "caught",
    "caught_without",
    "in_use",
    "reason",
    "made_at",
    "made_by",
)


@app.command("list", epilog=json_keys_help("each defect set", KEYS))
def list_sets(context: typer.Context, station: Station, limit: Limit = 20, json: Json = False) -> None:
    """List a station's defect sets, newest first.

    A defect set is the frames that people called defects. A scorer fits a head to them, and scores with it where it
    catches no fewer of them than the normals alone. A scorer makes a new version as labels arrive.
    """
    from andon import wiring
    from storage.learning import defect_sets
    from storage.line import normal_sets, stations

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station_id = stations.get(session, station).id
        versions = {one.id: one.version for one in normal_sets.list_all(session, station_id)}
        found = defect_sets.history(session, station_id, limit)
        in_use = {head.version for head in defect_sets.in_use(session, list(versions)).values()}
    if json:
        output.write_json([_json_of(station, versions[one.normal_set_id], one, one.version in in_use) for one in found])
        return
    output.write_table(
        ["version", "made at (UTC)", "set", "defects", "others", "caught", "without", "in use", "reason", "by"],
        [
            (
                one.version,
                one.made_at,
                versions[one.normal_set_id],
                len(one.defects),
                one.good_frames,
                one.caught,
                one.caught_without,
                "yes" if one.version in in_use else "",
                one.reason,
                one.made_by,
            )
            for one in found
        ],
        empty=f"{station} has no defect set yet: a scorer makes one from frames that people called defects.",
    )


def _json_of(station: str, normal_set: int, defect_set: "DefectSet", in_use: bool) -> dict[str, object]:
    return {
        "station": station,
        "version": defect_set.version,
        "normal_set": normal_set,
        "model_id": defect_set.model_id,
        "scoring_model_id": defect_set.scoring_model_id,
        "defects": [str(frame_id) for frame_id in defect_set.defects],
        "good_frames": defect_set.good_frames,
        "caught": defect_set.caught,
        "caught_without": defect_set.caught_without,
        "in_use": in_use,
        "reason": defect_set.reason,
        "made_at": defect_set.made_at,
        "made_by": defect_set.made_by,
    }
