"""`andon produce`: a source's frames go to the bus."""

import re
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import MetricsPort

if TYPE_CHECKING:
    from andon.settings import Settings

FLUSH_TIMEOUT_S = 30.0


def produce(
    context: typer.Context,
    station: Annotated[str, typer.Argument(help="The station whose frames these are.", show_default=False)],
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
        typer.Option(min=0.001, max=10_000, help="Frames a second; else as they come.", show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many frames.", show_default=False)] = None,
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked", metavar="", help="Don't ask the database for the station: only the bus is in reach."
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
    from ingest.sources.registry import open_source

    settings = command_context(context).settings()
    if unchecked:
        _require_name(station)
    else:
        _require_station(settings, station)
    with (
        stop_on_signal("what was captured is flushed") as stop,
        nullcontext() if unchecked else drop_reporter.report_drops(settings, station),
        closing(open_source(source, station, settings.ingest)) as opened,
        wiring.open_producer(settings, station) as producer,
        metrics_server.serve_metrics(
            settings.andon.metrics_host, wiring.metrics_port(settings, metrics_port), producer.health
        ),
    ):
        with progress_counter("frames captured", limit) as advance:
            sent = capture(opened, producer, rate_fps=rate, limit=limit, stop=stop, progress=advance)
        producer.flush(FLUSH_TIMEOUT_S)
        left = producer.health()
    if left:
        raise CommandIncomplete(
            f"Not every frame is on the bus: {'; '.join(left)}; "
            f"what is in {settings.ingest.spool_path / station} goes out when produce runs for {station} again."
        )
    output.print_result(f"{sent} frame{'' if sent == 1 else 's'} of {station} published.")


def _require_name(station: str) -> None:
    """A name becomes a message's key and a folder of the spool."""
    from andon.errors import CommandFailed

    if not re.fullmatch(r"[a-z0-9_-][a-z0-9._-]{0,63}", station, re.ASCII):
        raise CommandFailed(
            f"{station[:80]!r} can't name a station: use 1 to 64 of a-z, 0-9, dash, dot and underscore."
        )


def _require_station(settings: "Settings", station: str) -> None:
    """Refuse a station that isn't there; a database that is away must not keep a camera from starting."""
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
        output.print_message(f"Whether there is a station {station} could not be checked: {error}")
