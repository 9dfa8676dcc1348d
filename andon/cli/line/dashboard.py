"""`andon dashboard`: the wall in a browser, served by Streamlit as a child process."""

from typing import Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
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
    from andon import wiring
    from andon.cli.stop_signal import stop_on_signal
    from andon.services import dashboard_process, metrics_server

    settings = command_context(context).settings()
    chosen = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    listening = settings.dashboard.model_copy(update=chosen)
    with (
        stop_on_signal("the dashboard closes") as stop,
        wiring.open_database(settings) as database,
        dashboard_process.run_streamlit(listening, settings.storage, settings.alerts) as child,
        metrics_server.serve_metrics(
            settings.andon.metrics_host,
            wiring.metrics_port(settings, metrics_port),
            lambda: dashboard_process.health(child, database),
            dashboard_process.create_registry(database),
        ),
    ):
        address = f"http://{dashboard_process.browser_host(listening.host)}:{listening.port}"
        output.print_message(f"The dashboard is at {address}; Ctrl-C ends it.")
        dashboard_process.wait_for_stop(child, stop)
