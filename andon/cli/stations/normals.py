"""`andon normals`: the normal sets of a station, numbered versions of its good images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import MAX_VERSION, Json, Version, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from andon.good_images import CollectedImages
    from andon.normal_checks import Findings
    from andon.settings import Settings
    from storage.line.normal_sets import NormalSet

app = typer.Typer(help="Add, list, show, activate and roll back normal sets.", no_args_is_help=True)

Station = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]
Reason = Annotated[str, typer.Option(help="The reason, for the audit log.")]

KEYS = ("station", "version", "state", "note", "images", "bit_depth", "created_at", "activated_at", "retired_at")


@app.command()
def add(
    context: typer.Context,
    station: Station,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Images, or folders of images.", show_default=False)
    ],
    limit: Annotated[
        int | None,
        typer.Option(min=2, max=64, help="Take the first ones up to this number, by name.", show_default=False),
    ] = None,
    note: Annotated[str, typer.Option(help="A note on why this set was created.")] = "",
    activate: Annotated[bool, typer.Option("--activate", metavar="", help="Activate it at once.")] = False,
) -> None:
    """Create a station's next normal set from 2 to 64 good images; all of them or none."""
    from andon import wiring
    from storage.actions import normal_sets as actions
    from storage.line import normal_sets, stations
    from storage.line.normal_sets import NormalImage

    settings = command_context(context).settings()
    with wiring.open_database(settings) as database:
        actor = authentication.current_actor(database)
        with database.read() as session:
            found = stations.get(session, station)
        station_id, chosen_depth = found.id, found.settings.bit_depth
        collected, findings = _collect(paths, limit, settings, None if chosen_depth == "auto" else int(chosen_depth))
        store = wiring.open_image_store(settings)
        learns = chosen_depth == "auto"  # else the depth of the images is not known, and not asked for
        images = [NormalImage(store.put(image.data), image.name) for image in collected.images]
        now = utc_now()
        with database.begin() as session:
            before = normal_sets.active(session, station_id)
            new_set = actions.add(session, actor, station, images, note, now, findings.bit_depth if learns else None)
            if activate:
                new_set = actions.activate(session, actor, station, new_set.version, now, note)
    for duplicate, same in collected.duplicates:
        output.print_message(f"{duplicate} is the same image as {same}; it was left out.")
    for message in [*_left_out(paths), *_describe(findings)]:
        output.print_message(message)
    output.print_result(f"Normal set {new_set.version} of {station} has {len(new_set.images)} images.")
    if activate:
        output.print_result(_activated(station, new_set, before))
    else:
        output.print_result(f"It is a draft; andon normals activate {station} {new_set.version} activates it.")


@app.command("list", epilog=json_keys_help("each normal set", KEYS))
def list_sets(context: typer.Context, station: Station, json: Json = False) -> None:
    """List a station's normal sets, newest first."""
    from andon import wiring
    from storage.line import normal_sets, stations

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = normal_sets.list_all(session, stations.get(session, station).id)
    if json:
        output.write_json([_json_of(station, one) for one in found])
        return
    output.write_table(
        ["set", "state", "images", "note", "added at (UTC)", "activated at (UTC)"],
        [(one.version, one.state, len(one.images), one.note, one.created_at, one.activated_at) for one in found],
        empty=f"{station} has no normal set yet; add one: andon normals add {station} FOLDER --activate",
    )


@app.command(epilog=json_keys_help("the normal set", KEYS))
def show(
    context: typer.Context,
    station: Station,
    version: Annotated[
        int | None,
        typer.Argument(min=1, max=MAX_VERSION, help="The set's number; else the active one.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show one normal set and its images."""
    from andon import wiring
    from andon.errors import CommandFailed
    from storage.line import normal_sets, stations

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station_id = stations.get(session, station).id
        if version is not None:
            found = normal_sets.get(session, station_id, version)
        elif (active := normal_sets.active(session, station_id)) is not None:
            found = active
        else:
            raise CommandFailed(f"{station} has no active normal set; andon normals list {station} shows those it has.")
    if json:
        output.write_json(_json_of(station, found))
        return
    output.write_pairs(
        {
            "station": station,
            "normal set": found.version,
            "state": found.state,
            "note": found.note or "-",
            "bit depth": found.bit_depth or "not learnt yet",
            "added at": found.created_at,
            "activated at": found.activated_at,
            "retired at": found.retired_at,
        }
    )
    output.write_table(["image", "reference"], [(image.name, image.reference) for image in found.images], empty="")


@app.command()
def activate(
    context: typer.Context,
    station: Station,
    version: Version,
    reason: Reason = "",
) -> None:
    """Activate a version for all scorers; the one that was active is retired."""
    from storage.actions import normal_sets as actions
    from storage.line import normal_sets, stations

    with authentication.authenticated_session(context) as (session, actor):
        before = normal_sets.active(session, stations.get(session, station).id)
        now_active = actions.activate(session, actor, station, version, utc_now(), reason)
    if before is not None and before.version == version:
        output.print_result(f"Normal set {version} of {station} is active already.")
        return
    output.print_result(_activated(station, now_active, before))


@app.command()
def rollback(context: typer.Context, station: Station, reason: Reason = "") -> None:
    """Activate the version that was active before this one."""
    from storage.actions import normal_sets as actions
    from storage.line import normal_sets, stations

    with authentication.authenticated_session(context) as (session, actor):
        before = normal_sets.active(session, stations.get(session, station).id)
        now_active = actions.rollback(session, actor, station, utc_now(), reason)
    output.print_result(_activated(station, now_active, before))


@app.command()
def draft(
    context: typer.Context,
    station: Station,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="Leave out this image of the set, by its reference; may be repeated.", show_default=False),
    ] = None,
    base: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_VERSION, help="Start from this version; else from the active one.", show_default=False
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="A note on why this set was created.")] = "",
) -> None:
    """Create a draft from a normal set and the normal candidates of review."""
    from storage.actions import normal_sets as actions

    with authentication.authenticated_session(context) as (session, actor):
        new_set = actions.draft_from_candidates(
            session, actor, station, note, utc_now(), drop=frozenset(drop or ()), base=base
        )
    output.print_result(f"Normal set {new_set.version} of {station} is a draft of {len(new_set.images)} images.")
    output.print_result(f"andon normals what-if {station} {new_set.version} shows what it would change.")


def _collect(
    paths: list[Path], limit: int | None, settings: "Settings", bit_depth: int | None
) -> "tuple[CollectedImages, Findings]":
    from andon import good_images, normal_checks
    from andon.cli.progress import progress_counter
    from andon.normal_checks import Examined

    files = good_images.find_image_files(paths)
    limits = settings.scorer.image_limits
    examined: list[Examined] = []
    with progress_counter("images checked", min(limit or len(files), len(files))) as advance:
        gathered = good_images.collect_images(
            files,
            limit=limit,
            max_bytes=limits.max_bytes,
            check=lambda data: examined.append(normal_checks.examine(data, limits, bit_depth)),
            progress=advance,
        )
    images = [(image.name, image.data) for image in gathered.images]
    return gathered, normal_checks.compare(images, examined, limits, bit_depth)


def _left_out(paths: list[Path]) -> list[str]:
    """Return a sentence per subfolder and link that was not read."""
    from andon import good_images

    return [
        *(f"{folder} was not read; name it too to add its images." for folder in good_images.find_subfolders(paths)),
        *(f"{link} is a link that leads nowhere; it was left out." for link in good_images.find_dangling_links(paths)),
    ]


def _describe(findings: "Findings") -> list[str]:
    """Return a sentence per finding about the images of a set."""
    said = [
        f"{name} looks unlike the others: see whether its part is good. A defect among the good images hides defects "
        "of its kind and raises the threshold; add the others without it if in doubt."
        for name in findings.odd
    ]
    said += [f"{second} is nearly the same as {first}: a twin adds nothing." for first, second in findings.twins]
    if findings.has_deep_images:
        said.append(f"The camera fills {findings.bit_depth} bits of 16, by the largest sample of these images.")
    return said


def _activated(station: str, now_active: "NormalSet", before: "NormalSet | None") -> str:
    retired = f", set {before.version} is retired" if before is not None else ""
    return f"Normal set {now_active.version} of {station} is active{retired}; running scorers use it within seconds."


def _json_of(station: str, normal_set: "NormalSet") -> dict[str, object]:
    return {
        "station": station,
        "version": normal_set.version,
        "state": normal_set.state,
        "note": normal_set.note,
        "images": [{"name": image.name, "reference": image.reference} for image in normal_set.images],
        "bit_depth": normal_set.bit_depth,
        "created_at": normal_set.created_at,
        "activated_at": normal_set.activated_at,
        "retired_at": normal_set.retired_at,
    }
