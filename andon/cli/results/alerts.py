"""`andon alerts`: alerts, the rules that raise them, and the channels that are notified."""

import json as json_module
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from andon.cli import output, times
from andon.cli.context import command_context
from andon.cli.options import Json, MetricsPort, json_keys_help
from andon.cli.results import channels
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.alerts.alert_rules import AlertRule
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
RULE_KEYS = ("rule", "label", "scope", "station", "on", "severity", "parameters", "about")

Number = Annotated[int, typer.Argument(metavar="ID", help="The id in the list.", show_default=False)]
Note = Annotated[str, typer.Option(help="A note to store with it.", show_default=False)]
StationName = Annotated[str, typer.Argument(help="The station, for example s1.", show_default=False)]


@app.command("list", epilog=json_keys_help("each alert", KEYS))
def list_alerts(
    context: typer.Context,
    station: Annotated[str | None, typer.Option(help="Only this station's.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="Include resolved ones.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The most to list, newest first.")] = 50,
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
def ack(context: typer.Context, alert_id: Number, note: Note = "") -> None:
    """Acknowledge an alert: you take care of it."""
    from andon import wiring
    from andon.cli import authentication
    from storage.actions import alerts as actions

    with wiring.open_database(command_context(context).settings()) as database:
        who = authentication.current_actor(database)
        with database.begin() as session:
            alert = actions.acknowledge(session, who, alert_id, utc_now(), note)
    output.print_result(f"Alert {alert.id} is acknowledged by {alert.acknowledged_by}.")


@app.command()
def resolve(context: typer.Context, alert_id: Number, note: Note = "") -> None:
    """Resolve an alert; what happened before now does not raise it again."""
    from andon import wiring
    from andon.cli import authentication
    from storage.actions import alerts as actions

    with wiring.open_database(command_context(context).settings()) as database:
        who = authentication.current_actor(database)
        with database.begin() as session:
            alert = actions.resolve(session, who, alert_id, utc_now(), note)
    output.print_result(f"Alert {alert.id} is resolved{f' by {alert.resolved_by}' if alert.resolved_by else ''}.")


@app.command()
def mute(
    context: typer.Context,
    station: StationName,
    reason: Annotated[str, typer.Option(help="The reason, for example 'lamp is being replaced'.", show_default=False)],
    span: Annotated[str, typer.Option("--for", help="For how long: 30m, 2h, 1d.")] = "1h",
) -> None:
    """Mute a station for a time: no alert opens there and nobody is notified."""
    from andon import wiring
    from andon.cli import authentication
    from storage.actions import alerts as actions

    now = utc_now()
    until = now + _span(span)
    with wiring.open_database(command_context(context).settings()) as database:
        who = authentication.current_actor(database)
        with database.begin() as session:
            made = actions.mute(session, who, station, until, reason, now)
    output.print_result(f"{station} is muted until {output.cell(made.until_at)} UTC.")


@app.command()
def unmute(context: typer.Context, station: StationName) -> None:
    """End the mute of a station now."""
    from andon import wiring
    from andon.cli import authentication
    from storage.actions import alerts as actions

    with wiring.open_database(command_context(context).settings()) as database:
        who = authentication.current_actor(database)
        with database.begin() as session:
            ended = actions.unmute(session, who, station, utc_now())
    output.print_result(f"{station} is no longer muted." if ended else f"{station} was not muted.")


@app.command(epilog=json_keys_help("each rule", RULE_KEYS))
def rules(
    context: typer.Context,
    station: Annotated[
        str | None, typer.Argument(help="As set for this station; else for all stations.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show the rules, whether they are on, and their parameters."""
    from andon import wiring
    from storage.alerts import alert_rules
    from storage.line import stations

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station_id = stations.get(session, station).id if station is not None else None
        kept = alert_rules.list_all(session)
    shown = rules_shown(kept, station_id, station)
    if json:
        output.write_json(shown)
        return
    output.write_table(
        ["rule", "on", "severity", "parameters", "raises when"],
        [
            (
                row["rule"],
                "yes" if row["on"] else "no",
                row["severity"],
                " ".join(f"{name}={json_module.dumps(value)}" for name, value in row["parameters"].items()),
                row["about"],
            )
            for row in shown
        ],
        empty="There are no rules.",
    )


@app.command("set")
def set_rule(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(help="The rule's name in `andon alerts rules`.", show_default=False)],
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="For example limit=0.3.", show_default=False)
    ] = None,
    station: Annotated[
        str | None,
        typer.Option(help="Only for this station; else for all without a setting of their own.", show_default=False),
    ] = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Switch it on or off.", show_default=False)] = None,
    reason: Annotated[str, typer.Option(help="The reason, for the audit log.", show_default=False)] = "",
) -> None:
    """Set a rule; parameters that are not named keep their values."""
    from alerts.rules import registry
    from andon import wiring
    from andon.cli import authentication
    from storage.actions import alerts as actions
    from storage.alerts import alert_rules
    from storage.alerts.alert_rules import AlertRule
    from storage.line import stations

    named = _parameters(parameters or [])
    known = registry.rules_by_kind().get(rule)
    with wiring.open_database(command_context(context).settings()) as database:
        who = authentication.current_actor(database)
        with database.begin() as session:
            station_id = stations.get(session, station).id if station is not None else None
            before = alert_rules.get(session, station_id, rule) or alert_rules.get(session, None, rule)
            merged = {**(before.parameters if before else {}), **named}
            registry.create_rule(rule, merged)
            was_on = before.enabled if before else known is not None and known.on_by_default
            made = AlertRule(station_id, rule, merged, was_on if on is None else on)
            actions.set_rule(session, who, made, utc_now(), reason)
    output.print_result(
        f"The rule {rule} is set and {'on' if made.enabled else 'off'}; the watch takes it up in its next look."
    )


@app.command("test")
def test_channel(context: typer.Context, channel: channels.Name) -> None:
    """Send a test message to a channel."""
    from alerts.notification import dispatcher
    from andon import wiring
    from andon.cli import authentication
    from storage.actions import channels as actions

    now = utc_now()
    with wiring.open_database(command_context(context).settings()) as database:
        who = authentication.current_actor(database)
        with database.begin() as session:
            chosen = actions.get_for_test(session, who, channel, now)
    dispatcher.send_test(chosen, who.name, now)
    output.print_result(f"A test message went to {chosen.name}.")


@app.command()
def watch(
    context: typer.Context,
    interval: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=60, help="Seconds between two evaluations; else alerts.check_interval_s.", show_default=False
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


def rules_shown(kept: Sequence["AlertRule"], station_id: int | None, station: str | None) -> list[dict[str, Any]]:
    """Every rule as it is in force at a station, or where nothing is set apart."""
    from alerts.rules import registry

    shown = []
    for kind, rule in registry.rules_by_kind().items():
        settings = {one.station_id: one for one in kept if one.kind == kind}
        setting = settings.get(station_id) or settings.get(None)
        shown.append(
            {
                "rule": kind,
                "label": rule.label,
                "scope": rule.scope,
                "station": station if rule.scope == "station" else None,
                "on": rule.on_by_default if setting is None else setting.enabled,
                "severity": rule.severity,
                "parameters": {**registry.default_parameters(rule), **(setting.parameters if setting else {})},
                "about": rule.about,
            }
        )
    return shown


def _span(text: str) -> timedelta:
    now = utc_now()
    try:
        return now - times.parse_time(text, now)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None


def _parameters(texts: Sequence[str]) -> dict[str, Any]:
    """``limit=0.3`` as a name and a JSON value."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name] = json_module.loads(value)
        except ValueError:
            equals = ""
        if not equals:
            raise typer.BadParameter(f"{text!r} is no NAME=VALUE with a number, true or false, such as limit=0.3")
    return found
