"""`andon report`: what happened, on a page to print."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli import output, times
from andon.cli.context import command_context
from andon.errors import CommandFailed
from foundation.clock import utc_now

app = typer.Typer(help="Write reports to print or to keep.", no_args_is_help=True)


@app.callback()
def reports() -> None:
    """Write reports to print or to keep."""


@app.command()
def shift(
    context: typer.Context,
    at: Annotated[
        str, typer.Option(help="A time in the shift: 8h, 1d ago, or 2026-01-31T09:30 (UTC); now by default.")
    ] = "0s",
    station: Annotated[str | None, typer.Option(help="Only this station.", show_default=False)] = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Write the page to this file; else to stdout.", show_default=False)
    ] = None,
) -> None:
    """Write a shift's figures, alerts, defect types and scores as one HTML page that needs nothing else."""
    from alerts.kpis import queries
    from alerts.kpis.shift_report import render_shift_report
    from andon import wiring
    from storage.line import stations

    settings = command_context(context).settings()
    now = utc_now()
    try:
        moment = times.parse_time(at, now)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from None
    with wiring.open_database(settings) as database, database.read() as session:
        chosen = stations.list_all(session) if station is None else [stations.get(session, station)]
        plant, opportunities = settings.alerts.plant, settings.alerts.defect_opportunities
        page = render_shift_report(queries.build_shift_report(session, chosen, moment, plant, opportunities, now))
    if to is None:
        output.write_document(page)
        return
    try:
        to.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"The report can't be written to {to}: {error.strerror}.") from None
    output.print_message(f"The report is in {to}.")
