"""`andon score`: a worker that turns frames into verdicts."""

import os
import socket
from typing import Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import MetricsPort


def score(
    context: typer.Context,
    drain: Annotated[
        bool, typer.Option("--drain", metavar="", help="Stop once every frame on the bus has a verdict.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="The worker's name; else host name and process id.", show_default=False)
    ] = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Score frames from the bus until stopped; several such processes share the work.

    One of them watches for alerts too, unless `andon alerts watch` does; with --drain none does.
    """
    from contextlib import nullcontext

    from andon.extras import require_extra

    require_extra("andon score", "torch")  # before the alert service, which needs less, names another extra

    from andon import wiring
    from andon.cli.progress import progress_counter
    from andon.cli.stop_signal import stop_on_signal
    from andon.services import metrics_server
    from andon.services.alert_service import AlertService

    settings = command_context(context).settings()
    with (
        stop_on_signal("finishing and committing the current batch") as stop,
        wiring.open_database_unchecked(settings) as database,
        nullcontext() if drain else AlertService(settings, database).running(settings.alerts.check_interval_s),
        wiring.open_worker(settings, name or f"{socket.gethostname()}-{os.getpid()}") as worker,
        metrics_server.serve_metrics(
            settings.andon.metrics_host,
            wiring.metrics_port(settings, metrics_port),
            worker.health,
            liveness=worker.liveness,
        ),
        progress_counter("frames scored") as advance,
    ):
        summary = worker.run(stop, drain, lambda progress: advance(progress.frames))
    output.print_result(str(summary))
