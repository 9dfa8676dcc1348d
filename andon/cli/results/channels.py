"""`andon alerts channel`: the channels that are notified of alerts; their addresses are secrets."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import Json, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.alerts.channels import Channel

app = typer.Typer(help="Manage the channels that are notified of alerts.", no_args_is_help=True)

KEYS = ("name", "service", "enabled", "min_severity", "created_at")

Name = Annotated[str, typer.Argument(help="The channel, for example 'quality e-mail'.", show_default=False)]


@app.command("list", epilog=json_keys_help("each channel", KEYS))
def list_channels(context: typer.Context, json: Json = False) -> None:
    """List channels, without their addresses."""
    from andon import wiring
    from storage.alerts import channels

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = channels.list_all(session)
    if json:
        output.write_json([channel_json(one) for one in found])
        return
    output.write_table(
        ["channel", "service", "on", "from severity"],
        [(one.name, one.service, "yes" if one.enabled else "no", one.min_severity) for one in found],
        empty="There is no channel yet; add one: andon alerts channel add NAME",
    )


@app.command()
def add(
    context: typer.Context,
    channel: Name,
    min_severity: Annotated[
        Literal["info", "warning", "critical"], typer.Option(help="The lowest severity that it is notified of.")
    ] = "warning",
) -> None:
    """Add a channel; its apprise address, a secret, is prompted for or read from stdin."""
    from andon.cli import authentication
    from storage.actions import channels as actions

    url = str(typer.prompt("Address", hide_input=True)) if sys.stdin.isatty() else sys.stdin.readline().strip()
    with authentication.authenticated_session(context) as (session, actor):
        added = actions.add(session, actor, channel, url, min_severity, utc_now())
    output.print_result(f"Added the channel {added.name}; test it: andon alerts test '{added.name}'")


@app.command("set")
def set_channel(
    context: typer.Context,
    channel: Name,
    on: Annotated[bool, typer.Option("--on/--off", help="Switch it on or off.", show_default=False)],
) -> None:
    """Switch a channel on or off."""
    from andon.cli import authentication
    from storage.actions import channels as actions

    with authentication.authenticated_session(context) as (session, actor):
        changed = actions.set_enabled(session, actor, channel, on, utc_now())
    output.print_result(f"The channel {changed.name} is {'on' if changed.enabled else 'off'}.")


@app.command()
def remove(context: typer.Context, channel: Name) -> None:
    """Delete a channel with its address."""
    from andon.cli import authentication
    from storage.actions import channels as actions

    with authentication.authenticated_session(context) as (session, actor):
        actions.remove(session, actor, channel, utc_now())
    output.print_result(f"Deleted the channel {channel}.")


def channel_json(channel: "Channel") -> dict[str, object]:
    """Return a channel as a JSON object, without its address."""
    return {
        "name": channel.name,
        "service": channel.service,
        "enabled": channel.enabled,
        "min_severity": channel.min_severity,
        "created_at": channel.created_at,
    }
