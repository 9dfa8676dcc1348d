"""`andon alerts`: list and resolve alerts, mute stations, and run the monitor."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from andon.cli import output, times
from andon.cli.context import command_context
from andon.cli.options import Json, Limit, MetricsPort, RowId, json_keys_help
from andon.cli.results import alert_rules, channels
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.alerts.alerts import Alert

app = typer.Typer(help="List and resolve alerts, set their rules, and choose who is notified.", no_args_is_help=True)
app.add_typer(channels.app, name="channel")

KEYS = (
    "id",
    "station",
    "rule",
    "severity",
    "state",
    "message",
    "evidence",
    "opened_at",
    "condition_seen_at",
    "acknowledged_at",
    "acknowledged_by",
    "resolved_at",
    "resolved_by",
    "note",
)

Note = Annotated[str, typer.Option(help="A note to store with it.", show_default=False)]
StationName = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]


@app.command("list", epilog=json_keys_help("each alert", KEYS))
def list_alerts(
    context: typer.Context,
    station: Annotated[str | None, typer.Option(help="Only this station's.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="Include resolved ones.")] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List unresolved alerts, newest first, and the stations that are muted."""
    from andon import wiring
    from storage.alerts import alerts, mutes
    from storage.line import stations

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        names = {one.id: one.name for one in stations.list_all(session)}
        station_id = stations.get(session, station).id if station is not None else None
        states: Sequence[Literal["opened", "acknowledged"]] = () if every else ("opened", "acknowledged")
        found = alerts.recent(session, station_id, states=states, limit=limit)
        muted = mutes.in_force(session, utc_now())
    if json:
        output.write_json([json_of(names, alert) for alert in found])
        return
    output.write_table(
        ["id", "opened at (UTC)", "station", "rule", "severity", "state", "by", "message"],
        [
            (
                one.id,
                one.opened_at,
                names.get(one.station_id or 0),
                one.rule,
                one.severity,
                one.state,
                one.resolved_by or one.acknowledged_by,
                one.message,
            )
            for one in found
        ],
        empty="There are no alerts." if every else "No alert is open.",
    )
    for number, one in sorted(muted.items()):
        output.print_message(
            f"{names[number]} is muted until {output.cell(one.until_at)} UTC by {one.muted_by}: {one.reason}."
        )


@app.command()
def ack(context: typer.Context, alert_id: RowId, note: Note = "") -> None:
    """Acknowledge an alert: you take care of it."""
    from andon.cli import authentication
    from storage.actions import alerts as actions

    with authentication.authenticated_session(context) as (session, actor):
        alert = actions.acknowledge(session, actor, alert_id, utc_now(), note)
    output.print_result(f"Alert {alert.id} is acknowledged by {alert.acknowledged_by}.")


@app.command()
def resolve(context: typer.Context, alert_id: RowId, note: Note = "") -> None:
    """Resolve an alert; what happened before now does not raise it again."""
    from andon.cli import authentication
    from storage.actions import alerts as actions

    with authentication.authenticated_session(context) as (session, actor):
        alert = actions.resolve(session, actor, alert_id, utc_now(), note)
    output.print_result(f"Alert {alert.id} is resolved{f' by {alert.resolved_by}' if alert.resolved_by else ''}.")


@app.command()
def mute(
    context: typer.Context,
    station: StationName,
    reason: Annotated[str, typer.Option(help="The reason, for example 'lamp is being replaced'.", show_default=False)],
    span: Annotated[str, typer.Option("--for", help="For how long: 30m, 2h, 1d.")] = "1h",
) -> None:
    """Mute a station for a time: no alert opens there and nobody is notified."""
    from andon.cli import authentication
    from storage.actions import alerts as actions

    now = utc_now()
    until = now + _span(span)
    with authentication.authenticated_session(context) as (session, actor):
        muted = actions.mute(session, actor, station, until, reason, now)
    output.print_result(f"{station} is muted until {output.cell(muted.until_at)} UTC.")


@app.command()
def unmute(context: typer.Context, station: StationName) -> None:
    """End the mute of a station now."""
    from andon.cli import authentication
    from storage.actions import alerts as actions

    with authentication.authenticated_session(context) as (session, actor):
        ended = actions.unmute(session, actor, station, utc_now())
    output.print_result(f"{station} is no longer muted." if ended else f"{station} was not muted.")


app.command(epilog=json_keys_help("each rule", alert_rules.KEYS))(alert_rules.rules)
app.command("set")(alert_rules.set_rule)


@app.command("test")
def test_channel(context: typer.Context, channel: channels.Name) -> None:
    """Send a test message to a channel."""
    from alerts.notification import dispatcher
    from andon.cli import authentication
    from storage.actions import channels as actions

    now = utc_now()
    with authentication.authenticated_session(context) as (session, actor):
        chosen = actions.get_for_test(session, actor, channel, now)
    dispatcher.send_test(chosen, actor.name, now)
    output.print_result(f"A test message went to {chosen.name}.")


@app.command()
def watch(
    context: typer.Context,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval",
            "--every",
            min=0.1,
            max=60,
            help="Seconds between two evaluations; else alerts.check_interval_s.",
            show_default=False,
        ),
    ] = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Evaluate the rules until stopped: open and resolve alerts, and notify the channels."""
    from andon import wiring
    from andon.cli.stop_signal import stop_on_signal
    from andon.services import metrics_server
    from andon.services.alert_service import AlertService

    settings = command_context(context).settings()
    port = wiring.metrics_port(settings, metrics_port)
    with (
        stop_on_signal("finishing the current evaluation") as stop,
        wiring.open_database_unchecked(settings) as database,
    ):
        service = AlertService(settings, database)
        with metrics_server.serve_metrics(settings.andon.metrics_host, port, service.monitor.health):
            service.run(stop, interval or settings.alerts.check_interval_s)


def json_of(names: Mapping[int, str], alert: "Alert") -> dict[str, object]:
    """Return an alert as a JSON object, with its station's name."""
    row: dict[str, object] = asdict(alert)
    station_id = row.pop("station_id")
    row["station"] = None if station_id is None else names[alert.station_id or 0]
    return {key: row[key] for key in KEYS}


def _span(text: str) -> timedelta:
    now = utc_now()
    try:
        return now - times.parse_time(text, now)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
