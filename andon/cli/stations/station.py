"""`andon station`: camera positions and their settings."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import MAX_REVIEWS_PER_SHIFT, MAX_SAMPLE_ONE_IN, MAX_STALE_AFTER_S, Json, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.line.stations import Station, StationSettings

app = typer.Typer(help="Add, list, show and edit stations.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]
ObjectName = Annotated[
    str | None, typer.Option("--object", help="What the camera sees, for example 'solar cell'.", show_default=False)
]
WithoutNormals = Annotated[
    Literal["wait", "no-reference"] | None,
    typer.Option(help="What becomes of frames while no normal set is active.", show_default=False),
]
Framing = Annotated[
    Literal["letterbox", "stretch", "centre-crop", "tiles-2", "tiles-3"] | None,
    typer.Option(
        help="How an image is made square for the model; tiles-2 cuts it into 2 × 2 tiles, for small defects.",
        show_default=False,
    ),
]
FalseRejectRate = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of good parts that may be flagged, for example 0.01.", show_default=False),
]
StaleAfter = Annotated[
    float | None,
    typer.Option(
        min=0.1, max=MAX_STALE_AFTER_S, help="Seconds of silence after which the wall shows it red.", show_default=False
    ),
]
SampleOneIn = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_SAMPLE_ONE_IN,
        help="Of the frames that pass, one in so many is drawn at random for review, for example 200; 0 draws none.",
        show_default=False,
    ),
]
BitDepth = Annotated[
    Literal["auto", "8", "10", "12", "14", "16"] | None,
    typer.Option(
        help="Bits that the camera fills of samples in words of 16; auto learns them from the normal images.",
        show_default=False,
    ),
]

ReviewsPerShift = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_REVIEWS_PER_SHIFT,
        help="Frames that people have time to review in eight hours, for example 40, which sets the review limit; at 0 "
        "no frame is borderline.",
        show_default=False,
    ),
]

Autopilot = Annotated[
    Literal["off", "propose", "act"] | None,
    typer.Option(
        help="Whether scorers propose normals from the stream by themselves, and activate them within guard rails.",
        show_default=False,
    ),
]

LearnDefects = Annotated[
    bool | None,
    typer.Option(
        help="Whether scorers learn what defects look like from the frames that people called defects.",
        show_default=False,
    ),
]

KEYS = (
    "name",
    "object_name",
    "without_normals",
    "framing",
    "false_reject_rate",
    "stale_after_s",
    "sample_one_in",
    "bit_depth",
    "reviews_per_shift",
    "autopilot",
    "learn_defects",
    "active_normal_set",
    "questions",
    "created_at",
)
COUNTS = ("verdicts", "flagged", "bad_pictures", "parked")


@app.command()
def add(
    context: typer.Context,
    name: Name,
    object_name: ObjectName = None,
    without_normals: WithoutNormals = None,
    framing: Framing = None,
    false_reject_rate: FalseRejectRate = None,
    stale_after: StaleAfter = None,
    sample_one_in: SampleOneIn = None,
    bit_depth: BitDepth = None,
    reviews_per_shift: ReviewsPerShift = None,
    autopilot: Autopilot = None,
    learn_defects: LearnDefects = None,
) -> None:
    """Add a station."""
    from storage.actions import stations
    from storage.line.stations import StationSettings

    chosen = _change(
        StationSettings(),
        object_name,
        without_normals,
        framing,
        false_reject_rate,
        stale_after,
        sample_one_in,
        bit_depth,
        reviews_per_shift,
        autopilot,
        learn_defects,
    )
    with authentication.authenticated_session(context) as (session, actor):
        added = stations.add(session, actor, name, chosen, utc_now())
    output.print_result(
        f"Added the station {added.name}; add good images next: andon normals add {added.name} FOLDER --activate"
    )


@app.command()
def edit(
    context: typer.Context,
    name: Name,
    object_name: ObjectName = None,
    without_normals: WithoutNormals = None,
    framing: Framing = None,
    false_reject_rate: FalseRejectRate = None,
    stale_after: StaleAfter = None,
    sample_one_in: SampleOneIn = None,
    bit_depth: BitDepth = None,
    reviews_per_shift: ReviewsPerShift = None,
    autopilot: Autopilot = None,
    learn_defects: LearnDefects = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
) -> None:
    """Change a station's settings; what isn't named stays as it is."""
    from storage.actions import stations as actions
    from storage.line import stations

    with authentication.authenticated_session(context) as (session, actor):
        before = stations.get(session, name)
        chosen = _change(
            before.settings,
            object_name,
            without_normals,
            framing,
            false_reject_rate,
            stale_after,
            sample_one_in,
            bit_depth,
            reviews_per_shift,
            autopilot,
            learn_defects,
        )
        actions.edit(session, actor, name, chosen, utc_now(), reason)
    if chosen == before.settings:
        output.print_result(f"Station {name} is as it was.")
        return
    changed = [
        f"{field} {output.cell(asdict(before.settings)[field])} → {output.cell(value)}"
        for field, value in asdict(chosen).items()
        if value != asdict(before.settings)[field]
    ]
    output.print_result(f"Station {name}: {', '.join(changed)}.")


@app.command("list", epilog=json_keys_help("each station", KEYS))
def list_stations(context: typer.Context, json: Json = False) -> None:
    """List the stations, with the number of frames that each asks people about."""
    from andon import wiring
    from storage.line import normal_sets, stations
    from storage.review import review_queue

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = [(station, normal_sets.active(session, station.id)) for station in stations.list_all(session)]
        questions = review_queue.questions(session)
    if json:
        output.write_json(
            [
                _json_of(station, active.version if active else None, questions.get(station.id, 0))
                for station, active in found
            ]
        )
        return
    output.write_table(
        ["station", "object", "active normal set", "questions", "stale after s", "added at (UTC)"],
        [
            (
                station.name,
                station.settings.object_name,
                active and active.version,
                questions.get(station.id, 0),
                station.settings.stale_after_s,
                station.created_at,
            )
            for station, active in found
        ],
        empty="There are no stations yet; add one: andon station add NAME --object 'what the camera sees'",
    )


@app.command(epilog=json_keys_help("the station", KEYS + COUNTS))
def show(context: typer.Context, name: Name, json: Json = False) -> None:
    """Show one station: settings, active normal set, questions, counts."""
    from andon import wiring
    from storage.line import normal_sets, parked_frames, stations, verdicts
    from storage.review import review_queue

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station = stations.get(session, name)
        active = normal_sets.active(session, station.id)
        questions = review_queue.questions(session).get(station.id, 0)
        counts = {
            "verdicts": verdicts.count(session, station.id),
            "flagged": verdicts.count(session, station.id, decision="flag"),
            "bad_pictures": verdicts.count(session, station.id, decision="bad_picture"),
            "parked": parked_frames.count(session, station.id),
        }
    fields = _json_of(station, active.version if active else None, questions) | counts
    if json:
        output.write_json(fields)
        return
    output.write_pairs(
        {key.replace("_", " "): value for key, value in fields.items()} | {"added at": station.created_at}
    )


def _change(
    settings: "StationSettings",
    object_name: str | None,
    without_normals: str | None,
    framing: str | None,
    false_reject_rate: float | None,
    stale_after: float | None,
    sample_one_in: int | None,
    bit_depth: str | None,
    reviews_per_shift: int | None,
    autopilot: str | None,
    learn_defects: bool | None,
) -> "StationSettings":
    """Return the settings with the values of the command line, whose choices have dashes instead of underscores."""
    named = {
        "object_name": object_name,
        "without_normals": without_normals and without_normals.replace("-", "_"),
        "framing": framing and framing.replace("-", "_"),
        "false_reject_rate": false_reject_rate,
        "stale_after_s": stale_after,
        "sample_one_in": sample_one_in,
        "bit_depth": bit_depth,
        "reviews_per_shift": reviews_per_shift,
        "autopilot": autopilot,
        "learn_defects": learn_defects,
    }
    return replace(settings, **{field: value for field, value in named.items() if value is not None})  # type: ignore[arg-type]


def _json_of(station: "Station", active_version: int | None, questions: int) -> dict[str, object]:
    return {
        "name": station.name,
        **asdict(station.settings),
        "active_normal_set": active_version,
        "questions": questions,
        "created_at": station.created_at,
    }
