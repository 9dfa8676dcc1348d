"""`andon dashboard`: the dashboard in a browser, served by Streamlit in a child process."""

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
    allow_anybody: Annotated[
        bool,
        typer.Option(
            "--allow-anybody",
            metavar="",
            help="Serve a network although there is no user: anybody on it is an admin.",
        ),
    ] = False,
    metrics_port: MetricsPort = None,
) -> None:
    """Serve the dashboard until stopped."""
    from andon import wiring
    from andon.cli.stop_signal import stop_on_signal
    from andon.extras import require_extra
    from andon.services import dashboard_process, metrics_server

    require_extra("andon dashboard", "streamlit", "altair", "scipy")
    settings = command_context(context).settings()
    options: dict[str, object] = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    if allow_anybody:
        options["allow_anybody"] = True
    listen = settings.dashboard.model_copy(update=options)
    with stop_on_signal("closing the dashboard") as stop, wiring.open_database(settings) as database:
        dashboard_process.require_users(listen, database)
        with (
            dashboard_process.run_streamlit(
                listen, settings.storage, settings.alerts, settings.scorer.image_limits
            ) as process,
            metrics_server.serve_metrics(
                settings.andon.metrics_host,
                wiring.metrics_port(settings, metrics_port),
                lambda: dashboard_process.health(process, database),
                dashboard_process.create_registry(database),
            ),
        ):
            url = f"http://{dashboard_process.browser_host(listen.host)}:{listen.port}"
            output.print_message(f"The dashboard is at {url}; Ctrl-C stops it.")
            dashboard_process.wait_for_stop(process, stop)
