"""`andon verdicts`: the verdicts of inspected frames."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output, times
from andon.cli.context import command_context
from andon.cli.options import Json, Limit
from foundation.clock import utc_now
from storage.areas import regions
from storage.line.decision import Decision

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from storage.line.verdicts import Verdict

KEYS = (
    "frame_id",
    "station",
    "captured_at",
    "stamped_at",
    "published_at",
    "decided_at",
    "latency_ms",
    "decision",
    "score",
    "threshold",
    "components",
    "part_id",
    "truth",
    "normal_set_id",
    "detector",
    "model_id",
    "weights_sha256",
    "image_reference",
    "content_type",
    "map_reference",
    "worker",
    "topic",
    "partition",
    "offset",
    "picture_problem",
    "review_limit",
    "borderline",
    "regions",
    "mask_version",
)


def verdicts(
    context: typer.Context,
    station: Annotated[str | None, typer.Argument(help="Only this station's.", show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only frames captured since: 15m, 1h, 7d ago, or 2026-01-31T09:30 (UTC).", show_default=False
        ),
    ] = None,
    flagged: Annotated[bool, typer.Option("--flagged", metavar="", help="Only flagged ones.")] = False,
    decision: Annotated[
        Decision | None, typer.Option(help="Only those with this decision; bad pictures say why.", show_default=False)
    ] = None,
    borderline: Annotated[
        bool,
        typer.Option("--borderline", metavar="", help="Only borderline ones: they passed, above the review limit."),
    ] = False,
    limit: Limit = 20,
    json: Json = False,
    ndjson: Annotated[
        bool,
        typer.Option("--ndjson", metavar="", help="Write all of them, whatever the limit, a JSON object per line."),
    ] = False,
) -> None:
    """List verdicts, newest captured first."""
    from andon import wiring
    from storage.line import stations

    if flagged and decision not in (None, "flag"):
        raise typer.BadParameter("it contradicts --flagged", param_hint="--decision")
    if borderline and (flagged or decision not in (None, "pass")):
        raise typer.BadParameter("a borderline frame passed", param_hint="--borderline")
    if json and ndjson:
        raise typer.BadParameter("write an array or an object per line, not both", param_hint="--ndjson")
    start = _since(since)
    decision = "flag" if flagged else "pass" if borderline else decision
    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station_id = stations.get(session, station).id if station is not None else None
        names = {one.id: one.name for one in stations.list_all(session)}
        newest_first = _newest_first(session, station_id, start, decision, borderline)
        if ndjson:
            for verdict in newest_first:
                output.write_json_line(json_of(names[verdict.station_id], verdict))
            return
        found = list(islice(newest_first, limit + 1))
    if len(found) > limit:
        output.print_message(f"These are the newest {limit}; --limit lists more, and --ndjson writes all of them.")
        del found[limit:]
    if json:
        output.write_json([json_of(names[one.station_id], one) for one in found])
        return
    _write_table(found, names)


def _newest_first(
    session: "Session", station_id: int | None, since: datetime | None, decision: Decision | None, borderline: bool
) -> "Iterator[Verdict]":
    from storage.line import verdicts as stored_verdicts

    found = stored_verdicts.stream(session, station_id, since=since, decision=decision)
    return (one for one in found if one.is_borderline) if borderline else found


def _write_table(found: "Sequence[Verdict]", names: Mapping[int, str]) -> None:
    """Write verdicts as a table; the camera's own time has a column where it can't be true for one of them."""
    marked = ["camera's time, which can't be true"] if any(one.stamped_at for one in found) else []
    about_frame = ["captured at (UTC)", "station", "decision"]
    columns = [*about_frame, "score", "review limit", "threshold", "part", "truth", "latency ms", "frame"]
    output.write_table(
        [*columns, *marked],
        [
            (
                one.captured_at,
                names[one.station_id],
                _decision(one),
                one.score,
                one.review_limit,
                one.threshold,
                one.part_id,
                one.truth,
                f"{_latency_ms(one):.0f}",
                one.frame_id,
                *([one.stamped_at] if marked else []),
            )
            for one in found
        ],
        empty="There are no such verdicts.",
    )


def _decision(verdict: "Verdict") -> str:
    """Return the decision, with why the picture is bad, or that a frame that passed goes to review."""
    remark = verdict.picture_problem or ("borderline" if verdict.is_borderline else None)
    return verdict.decision if remark is None else f"{verdict.decision} ({remark})"


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return times.parse_time(text, utc_now())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def _latency_ms(verdict: "Verdict") -> float:
    return (verdict.decided_at - verdict.captured_at).total_seconds() * 1000


def json_of(station: str, verdict: "Verdict") -> dict[str, object]:
    """Return a verdict as a JSON object, with its station's name."""
    return {
        "frame_id": verdict.frame_id,
        "station": station,
        "captured_at": verdict.captured_at,
        "stamped_at": verdict.stamped_at,
        "published_at": verdict.published_at,
        "decided_at": verdict.decided_at,
        "latency_ms": round(_latency_ms(verdict), 3),
        "decision": verdict.decision,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "components": dict(verdict.components),
        "part_id": verdict.part_id,
        "truth": verdict.truth,
        "normal_set_id": verdict.normal_set_id,
        "detector": verdict.detector,
        "model_id": verdict.model_id,
        "weights_sha256": verdict.weights_sha256,
        "image_reference": verdict.image_reference,
        "content_type": verdict.content_type,
        "map_reference": verdict.map_reference,
        "worker": verdict.worker,
        "topic": verdict.topic,
        "partition": verdict.partition,
        "offset": verdict.offset,
        "picture_problem": verdict.picture_problem,
        "review_limit": verdict.review_limit,
        "borderline": verdict.is_borderline,
        "regions": None if verdict.regions is None else regions.to_json(verdict.regions),
        "mask_version": verdict.mask_version,
    }
