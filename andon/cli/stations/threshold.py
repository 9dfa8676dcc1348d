"""`andon threshold`: the scores above which a station's frames are flagged, or go to review."""

from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import MAX_SCORE, Json, Limit, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Collection

    from storage.learning.defect_sets import HeadsInUse
    from storage.line.thresholds import Threshold

app = typer.Typer(help="Show a station's limits with their history, and set a threshold by hand.", no_args_is_help=True)

Station = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]

KEYS = (
    "station",
    "normal_set",
    "model_id",
    "value",
    "review_limit",
    "kind",
    "false_reject_rate",
    "guarantee",
    "reason",
    "made_at",
    "made_by",
    "in_force",
)


@app.command(epilog=json_keys_help("each threshold", KEYS))
def show(
    context: typer.Context,
    station: Station,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Show a station's thresholds and review limits, newest first; those in force are marked.

    Frames above the threshold are flagged; others above the review limit are borderline: they pass and go to review.
    """
    from andon import wiring
    from storage.learning import defect_sets
    from storage.line import normal_sets, stations, thresholds

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station_id = stations.get(session, station).id
        versions = {one.id: one.version for one in normal_sets.list_all(session, station_id)}
        active = normal_sets.active(session, station_id)
        found = thresholds.history(session, station_id)
        of_active = [one for one in found if active and one.normal_set_id == active.id]
        heads = {one.scoring_model_id for one in defect_sets.history(session, station_id)}
        in_use = defect_sets.in_use(session, list(versions))
    in_force = _in_force(of_active, heads, in_use)
    rows = [json_of(station, versions[one.normal_set_id], one, one in in_force) for one in found[:limit]]
    if json:
        output.write_json(rows)
        return
    limits = ["made at (UTC)", "threshold", "review limit", "in force"]
    output.write_table(
        [*limits, "set", "kind", "false rejects", "by", "guarantee", "reason"],
        [
            (
                row["made_at"],
                row["value"],
                row["review_limit"],
                "yes" if row["in_force"] else "",
                row["normal_set"],
                str(row["kind"]).replace("_", " "),
                row["false_reject_rate"],
                row["made_by"],
                row["guarantee"],
                row["reason"],
            )
            for row in rows
        ],
        empty=f"{station} has no threshold yet: a scorer makes one when it first uses an active normal set.",
    )


@app.command("set")
def set_by_hand(
    context: typer.Context,
    station: Station,
    value: Annotated[
        float, typer.Argument(min=-MAX_SCORE, max=MAX_SCORE, help="Scores above it are flagged.", show_default=False)
    ],
    reason: Annotated[str, typer.Option(help="Why, for those who read the history.", show_default=False)],
    model: Annotated[
        str | None, typer.Option(help="The model's id; else the one calibrated last.", show_default=False)
    ] = None,
) -> None:
    """Set the threshold of a station's active normal set by hand."""
    from storage.actions import thresholds

    with authentication.authenticated_session(context) as (session, actor):
        new_threshold = thresholds.set_manually(session, actor, station, value, reason, utc_now(), model)
    output.print_result(
        f"Frames of {station} that score above {new_threshold.value:.6g} are flagged; running scorers apply it "
        "within seconds."
    )


def json_of(station: str, version: int, threshold: "Threshold", in_force: bool) -> dict[str, object]:
    """Return a threshold as a JSON object, with its station's name and normal set's version."""
    return {
        "station": station,
        "normal_set": version,
        "model_id": threshold.model_id,
        "value": threshold.value,
        "review_limit": threshold.review_limit,
        "kind": threshold.kind,
        "false_reject_rate": threshold.false_reject_rate,
        "guarantee": threshold.guarantee,
        "reason": threshold.reason,
        "made_at": threshold.made_at,
        "made_by": threshold.made_by,
        "in_force": in_force,
    }


def _in_force(newest_first: "list[Threshold]", heads: "Collection[str]", in_use: "HeadsInUse") -> "list[Threshold]":
    """Return each model's newest threshold of the active set, but of a detector only that with the head in use.

    Args:
        newest_first: The thresholds of the active set.
        heads: The model ids of all heads that the station had.
        in_use: The heads in use.
    """
    scoring = {head.scoring_model_id for head in in_use.values()}
    replaced = {model_id for _, model_id in in_use}
    of_model: dict[str, Threshold] = {}
    for threshold in newest_first:
        is_replaced = threshold.model_id in replaced or threshold.model_id in set(heads) - scoring
        if not is_replaced:
            of_model.setdefault(threshold.model_id, threshold)
    return list(of_model.values())
