"""`andon produce`: publish the frames of a source to the bus."""

import re
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import MAX_ID, MetricsPort

if TYPE_CHECKING:
    from andon.settings import Settings
    from ingest.producer.producer import Producer

STALLED_AFTER_S = 30.0


def produce(
    context: typer.Context,
    station: Annotated[str, typer.Argument(help="The station that the frames belong to.", show_default=False)],
    source: Annotated[
        str,
        typer.Option(
            metavar="KIND:WHERE",
            help="folder:PATH (watched), video:PATH-or-URL, replay:PATH (a dataset), or simulated:NAME.",
            show_default=False,
        ),
    ],
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=10_000, help="Frames per second; else as the source delivers them.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_ID, help="Stop after this many frames.", show_default=False),
    ] = None,
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked", metavar="", help="Do not look up the station: the database can't be reached from here."
        ),
    ] = False,
    metrics_port: MetricsPort = None,
) -> None:
    """Publish a source's frames until it ends, --limit is reached or the command is stopped."""
    from andon import wiring
    from andon.cli.progress import progress_counter
    from andon.cli.stop_signal import stop_on_signal
    from andon.errors import CommandIncomplete
    from andon.services import drop_reporter, metrics_server
    from ingest.capture import capture
    from ingest.errors import BusUnavailable
    from ingest.sources.registry import open_source

    settings = command_context(context).settings()
    if unchecked:
        _require_name(station)
    else:
        _require_station(settings, station)
    with (
        stop_on_signal("publishing what was captured") as stop,
        nullcontext() if unchecked else drop_reporter.report_drops(settings, station),
        closing(open_source(source, station, settings.ingest)) as frames,
        wiring.open_producer(settings, station) as producer,
        metrics_server.serve_metrics(
            settings.andon.metrics_host, wiring.metrics_port(settings, metrics_port), producer.health
        ),
    ):
        with progress_counter("frames captured", limit) as advance:
            published = capture(frames, producer, rate_fps=rate, limit=limit, stop=stop, progress=advance)
        try:
            with progress_counter("frames to publish") as advance:
                producer.flush(STALLED_AFTER_S, stop, advance)
            problems = producer.failures()
        except BusUnavailable as error:  # closing the producer moves to the spool what fits there
            problems = [str(error)]
    if problems or producer.spooled_frames or producer.frames_in_memory:
        raise CommandIncomplete(_incomplete(producer, problems, settings.ingest.spool_path / station, station))
    output.print_result(f"{published} frame{'' if published == 1 else 's'} of {station} published.")


def _incomplete(producer: "Producer", problems: Sequence[str], spool: Path, station: str) -> str:
    """Return where the frames are that are not on the bus, after the producer was closed."""
    waiting, lost = producer.spooled_frames, producer.frames_in_memory
    parts = []
    if waiting:
        parts.append(f"{waiting} frames wait in the spool {spool} and are sent by the next produce for {station}")
    if lost:
        parts.append(f"{lost} frames fit neither on the bus nor in the spool; only their source may have them still")
    return f"Not every frame is on the bus: {'; '.join([*parts, *problems])}."


def _require_name(station: str) -> None:
    """Raise `CommandFailed` for a name that is not a station's: it becomes a message key and a folder's name."""
    from andon.errors import CommandFailed

    if not re.fullmatch(r"[a-z0-9_-][a-z0-9._-]{0,63}", station, re.ASCII):
        raise CommandFailed(
            f"{station[:80]!r} can't be a station's name; use 1 to 64 of a-z, 0-9, dash, dot and underscore."
        )


def _require_station(settings: "Settings", station: str) -> None:
    """Raise `NotFound` for an unknown station; an unavailable database does not keep a camera from starting."""
    from andon import wiring
    from storage.errors import NotFound, StorageError
    from storage.line import stations

    try:
        with wiring.open_database(settings) as database, database.read() as session:
            stations.get(session, station)
    except NotFound:
        raise
    except StorageError as error:
        _require_name(station)
        output.print_message(f"Could not check that the station {station} exists: {error}")
