"""`andon alerts rules` and `andon alerts set`: the rules that raise alerts."""

import json as json_module
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import Json
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.alerts.alert_rules import AlertRule

KEYS = ("rule", "label", "scope", "station", "on", "severity", "parameters", "about")


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
        settings = alert_rules.list_all(session)
    shown = rules_in_force(settings, station_id, station)
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
    from storage.actions import alerts as actions
    from storage.alerts import alert_rules
    from storage.alerts.alert_rules import AlertRule
    from storage.line import stations

    named = _parameters(parameters or [])
    known = registry.rules_by_kind().get(rule)
    with authentication.authenticated_session(context) as (session, actor):
        station_id = stations.get(session, station).id if station is not None else None
        before = alert_rules.get(session, station_id, rule) or alert_rules.get(session, None, rule)
        merged = {**(before.parameters if before else {}), **named}
        registry.create_rule(rule, merged)
        was_enabled = before.enabled if before else known is not None and known.on_by_default
        changed = AlertRule(station_id, rule, merged, was_enabled if on is None else on)
        actions.set_rule(session, actor, changed, utc_now(), reason)
    output.print_result(
        f"The rule {rule} is set and {'on' if changed.enabled else 'off'}; the monitor applies it in its next round."
    )


def rules_in_force(
    settings: Sequence["AlertRule"], station_id: int | None, station: str | None
) -> list[dict[str, Any]]:
    """Return every rule as it is in force at a station, or with None for all stations."""
    from alerts.rules import registry

    shown = []
    for kind, rule in registry.rules_by_kind().items():
        by_station = {setting.station_id: setting for setting in settings if setting.kind == kind}
        setting = by_station.get(station_id) or by_station.get(None)
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


def _parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return parameters by name from texts such as ``limit=0.3``, whose values are JSON."""
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
