"""`andon outputs`: verdicts delivered to files and machines."""

from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import Json, MetricsPort, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.outputs.outputs import OutputState

app = typer.Typer(help="Deliver verdicts to files and machines.", no_args_is_help=True)

KEYS = ("name", "kind", "registered_at", "pending", "oldest_decided_at", "rejected", "error")

Name = Annotated[str, typer.Argument(help="The output, for example file.", show_default=False)]


@app.command()
def run(
    context: typer.Context,
    drain: Annotated[
        bool, typer.Option("--drain", metavar="", help="Stop once every verdict has been delivered.")
    ] = False,
    metrics_port: MetricsPort = None,
) -> None:
    """Deliver verdicts to every output of the settings until stopped, from each output's first start on."""
    from andon import wiring
    from andon.cli.stop_signal import stop_on_signal
    from andon.errors import CommandFailed
    from andon.services import metrics_server
    from andon.services.output_service import OutputService

    settings = command_context(context).settings()
    if not settings.outputs.tables:
        raise CommandFailed("The settings have no output: add a table [outputs.NAME] to andon.toml.")
    port = wiring.metrics_port(settings, metrics_port)
    with (
        stop_on_signal("finishing the batches that are being sent") as stop,
        wiring.open_database_unchecked(settings) as database,
    ):
        service = OutputService(settings, database)
        with metrics_server.serve_metrics(settings.andon.metrics_host, port, service.health):
            service.run(stop, drain)
    output.print_result(f"Verdicts delivered: {service.delivered}.")


@app.command("list", epilog=json_keys_help("each output", KEYS))
def list_outputs(context: typer.Context, json: Json = False) -> None:
    """List the outputs of the settings and of the database, with what waits for them."""
    from andon import wiring
    from storage.outputs import outputs

    settings = command_context(context).settings()
    with wiring.open_database(settings) as database, database.read() as session:
        states = {state.name: state for state in outputs.list_all(session)}
    kinds = {name: table.get("kind") for name, table in settings.outputs.tables.items()}
    rows = [json_of(name, kinds.get(name), states.get(name)) for name in sorted({*kinds, *states})]
    if json:
        output.write_json(rows)
        return
    output.write_table(
        ["output", "kind", "since (UTC)", "pending", "oldest decided at (UTC)", "rejected", "error"],
        [tuple(row.values()) for row in rows],
        empty="There is no output; add a table [outputs.NAME] to andon.toml.",
    )


@app.command()
def retry(context: typer.Context, name: Name) -> None:
    """Queue the verdicts that an output rejected again."""
    from storage.actions import outputs as actions

    with authentication.authenticated_session(context) as (session, actor):
        count = actions.retry(session, actor, name, utc_now())
    output.print_result(f"{count} verdict{'' if count == 1 else 's'} of {name} queued again.")


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove an output that is no longer in the settings, with the verdicts that wait for it."""
    from andon.errors import CommandFailed
    from storage.actions import outputs as actions

    if name in command_context(context).settings().outputs.tables:
        raise CommandFailed(f"The settings still have the output {name}: remove its table [outputs.{name}] first.")
    with authentication.authenticated_session(context) as (session, actor):
        removed = actions.remove(session, actor, name, utc_now())
    left = removed.pending + removed.rejected
    output.print_result(f"Removed {name}, with {left} undelivered verdict{'' if left == 1 else 's'}.")


def json_of(name: str, kind: str | None, state: "OutputState | None") -> dict[str, object]:
    """Return an output as a JSON object.

    `kind` is None for one that is not in the settings, `registered_at` for one that has not been started.
    """
    return {
        "name": name,
        "kind": kind,
        "registered_at": state.registered_at if state else None,
        "pending": state.pending if state else 0,
        "oldest_decided_at": state.oldest_decided_at if state else None,
        "rejected": state.rejected if state else 0,
        "error": state.error if state else None,
    }
