"""`andon normals what-if` and `andon normals propose`: what a running scorer computes for a station's normal sets."""

from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import Json, Version
from andon.cli.stations.normals import Station
from foundation.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from storage.auth.actors import Actor
    from storage.line.jobs import Job
    from storage.line.what_if import WhatIfResult

WHAT_IF_KEYS = (
    "job",
    "station",
    "version",
    "model_id",
    "threshold",
    "guarantee",
    "rescored",
    "not_rescored",
    "good",
    "defects",
    "to_pass",
    "to_flag",
    "before",
    "after",
    "normal_scores",
    "bad_pictures",
    "own",
)
PROPOSAL_KEYS = ("job", "station", "version", "added", "frames", "activated", "reasons")


def what_if(
    context: typer.Context,
    station: Station,
    version: Version,
    last: Annotated[
        int, typer.Option(min=1, max=5000, help="The number of frames to score again, reviewed ones first.")
    ] = 200,
    json: Json = False,
) -> None:
    """Show what a set would change if it were active; a running scorer computes it."""
    from storage.actions import jobs
    from storage.line.what_if import WhatIfResult

    done = _run(
        context,
        "frames re-scored",
        lambda session, actor: jobs.start_what_if(session, actor, station, version, utc_now(), last),
    )
    if json:
        output.write_json({"job": done.id, "station": station, **done.result})
        return
    _print_what_if(station, WhatIfResult.from_json(done.result))


def _print_what_if(station: str, result: "WhatIfResult") -> None:
    missing = f" ({result.not_rescored} could not be)" if result.not_rescored else ""
    output.print_result(f"Normal set {result.version} of {station}, {result.rescored} frames scored again{missing}.")
    if result.bad_pictures:
        output.print_result(f"{result.bad_pictures} more would be bad pictures beside its normals.")
    if result.own:
        output.print_result(f"{result.own} more are among its images, and were left out.")
    output.print_result(f"Threshold {result.threshold:.6g}: {result.guarantee}")
    before, after = result.before, result.after
    output.write_table(
        ["of the frames", "before", "after"],
        [
            (f"false rejects among {result.good} reviewed as good", before.false_rejects, after.false_rejects),
            (f"escapes among {result.defects} reviewed as defects", before.escapes, after.escapes),
        ],
        empty="",
    )
    flips = [("flag → pass", flip) for flip in result.to_pass] + [("pass → flag", flip) for flip in result.to_flag]
    output.write_table(
        ["captured at (UTC)", "change", "score before", "score after", "review", "frame"],
        [
            (flip.captured_at, change, flip.old_score, flip.new_score, flip.label, flip.frame_id)
            for change, flip in flips
        ],
        empty="No decision would change.",
    )


def propose(context: typer.Context, station: Station, json: Json = False) -> None:
    """Make a draft of the active set and of frames of the stream; a running scorer chooses them."""
    from storage.actions import jobs

    done = _run(
        context,
        "frames compared",
        lambda session, actor: jobs.start_proposal(session, actor, station, utc_now()),
    )
    if json:
        output.write_json({"job": done.id, "station": station, **done.result})
        return
    version, added, frames = done.result["version"], done.result["added"], done.result["frames"]
    output.print_result(f"Normal set {version} of {station} is a draft with {added} images of {frames} frames.")
    output.print_result(f"andon normals show {station} {version} lists them, andon normals activate activates it.")


def _run(context: typer.Context, unit: str, start: "Callable[[Session, Actor], Job]") -> "Job":
    """Start a job, wait until a scorer has done it while its progress is counted in `unit`, and return it."""
    from andon import wiring
    from andon.cli.progress import progress_counter
    from andon.cli.stop_signal import stop_on_signal
    from andon.services import job_wait

    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        job_wait.require_running_scorer(database, utc_now)
        with database.begin() as session:
            job = start(session, actor)
        with stop_on_signal(f"job {job.id} goes on in the scorer") as stop, progress_counter(unit) as advance:
            return job_wait.wait_for_job(database, job.id, utc_now, stop.wait, advance)
