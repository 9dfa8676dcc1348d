"""`andon dashboard`: the wall in a browser, served by Streamlit as a child process."""

from typing import Annotated

import typer

from andon.cli import output
from andon.cli.front import front
from andon.cli.options import MetricsPort


def dashboard(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else dashboard.host.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on; else dashboard.port.", show_default=False)
    ] = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Serve the dashboard until stopped."""
    from andon import dashboard_process, metrics, wiring
    from andon.cli.stopping import stopping

    settings = front(context).settings()
    chosen = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    listening = settings.dashboard.model_copy(update=chosen)
    with (
        stopping("the dashboard closes") as stop,
        wiring.database(settings) as database,
        dashboard_process.streamlit(listening, settings.storage, settings.alerts) as child,
        metrics.serving(
            settings.andon.metrics_host,
            wiring.metrics_port(settings, metrics_port),
            lambda: dashboard_process.health(child, database),
            dashboard_process.registry(database),
        ),
    ):
        address = f"http://{dashboard_process.reachable(listening.host)}:{listening.port}"
        output.note(f"The dashboard is at {address}; Ctrl-C ends it.")
        dashboard_process.watch(child, stop)
