"""`andon kpi`: first-pass yield, flagged ppm, DPMO, false rejects and escapes."""

import csv
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from andon.cli import output, times
from andon.cli.context import command_context
from andon.cli.options import Json
from foundation.clock import utc_now

if TYPE_CHECKING:
    from alerts.kpis.kpis import KpiRow
    from alerts.statistics.confidence_intervals import Estimate

ESTIMATES = ("false_alarm_share", "false_reject_rate", "escape_rate", "escape_ppm")
HEADINGS = (
    "frames",
    "flagged",
    "first-pass yield",
    "flagged ppm",
    "DPMO",
    "false rejects",
    "escapes",
    "borderline",
    "caught by review",
    "bad pictures",
)
KEYS = (
    "group",
    "station",
    "since",
    "until",
    "frames",
    "flagged",
    "caught",
    "false_alarms",
    "confirmed",
    "escaped",
    "sampled_good",
    "sampled_defects",
    "bad_pictures",
    "borderline",
    "first_pass_yield",
    "flagged_ppm",
    "dpmo",
    "bad_picture_share",
    "borderline_share",
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
)


def kpi(
    context: typer.Context,
    station: Annotated[str | None, typer.Option(help="Only this station's frames.", show_default=False)] = None,
    since: Annotated[str, typer.Option(help="Frames captured since: 8h, 7d ago, or 2026-01-31T06:00 (UTC).")] = "7d",
    until: Annotated[
        str | None, typer.Option(help="And before, written in the same way; else now.", show_default=False)
    ] = None,
    by: Annotated[
        Literal["shift", "day", "station"], typer.Option(help="One row per shift, per local day, or per station.")
    ] = "station",
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", metavar="", help="Write CSV to stdout.")] = False,
) -> None:
    """Show quality KPIs, with 95 % confidence intervals for what is estimated from reviews.

    Frames that passed or were flagged count as inspected, and bad pictures beside them. Borderline frames passed above
    the review limit; caught by review are passed frames that were labelled a defect. docs/reference/kpis.md defines
    each figure and its interval.
    """
    from alerts.kpis.kpis import InspectionCounts, escape_estimate_basis
    from alerts.kpis.queries import kpi_rows
    from andon import wiring
    from storage.line import stations

    settings = command_context(context).settings()
    now = utc_now()
    start, end = _moment(since, now, "--since"), _moment(until, now, "--until") if until else now
    with wiring.open_database(settings) as database, database.read() as session:
        chosen = stations.list_all(session) if station is None else [stations.get(session, station)]
        plant, opportunities = settings.alerts.plant, settings.alerts.defect_opportunities
        rows = kpi_rows(session, chosen, start, end, by, plant, opportunities)
    if json:
        output.write_json([json_of(row) for row in rows])
    elif as_csv:
        write_csv([json_of(row) for row in rows])
    else:
        output.write_table(
            [by, *HEADINGS],
            [_cells(row) for row in rows],
            empty="No frame was inspected in that time.",
        )
        if rows:
            output.print_result(escape_estimate_basis(sum((row.kpis.counts for row in rows), InspectionCounts(0, 0))))


def json_of(row: "KpiRow") -> dict[str, object]:
    """Return a row as a JSON object; an estimate is three numbers, None where it is unknown."""
    kpis, counted = row.kpis, row.kpis.counts
    flat: dict[str, object] = {
        "group": row.group,
        "station": row.station,
        "since": row.since,
        "until": row.until,
        "frames": counted.frames,
        "flagged": counted.flagged,
        "caught": counted.caught,
        "false_alarms": counted.false_alarms,
        "confirmed": counted.confirmed,
        "escaped": counted.escaped,
        "sampled_good": counted.sampled_good,
        "sampled_defects": counted.sampled_defects,
        "bad_pictures": counted.bad_pictures,
        "borderline": counted.borderline,
        "first_pass_yield": kpis.first_pass_yield,
        "flagged_ppm": kpis.flagged_ppm,
        "dpmo": kpis.dpmo,
        "bad_picture_share": kpis.bad_picture_share,
        "borderline_share": kpis.borderline_share,
    }
    for name in ESTIMATES:
        estimate: Estimate | None = getattr(kpis, name)
        flat[name] = None if estimate is None else estimate.value
        flat[f"{name}_low"] = None if estimate is None else estimate.low
        flat[f"{name}_high"] = None if estimate is None else estimate.high
    return flat


def write_csv(rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as CSV to stdout; times are RFC 3339, and an unknown value is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(KEYS)
    for row in rows:
        writer.writerow(
            "" if value is None else output.rfc3339(value) if isinstance(value, datetime) else value
            for value in (row[key] for key in KEYS)
        )


def _cells(row: "KpiRow") -> tuple[object, ...]:
    kpis = row.kpis
    return (
        row.group,
        kpis.counts.frames,
        kpis.counts.flagged,
        None if kpis.first_pass_yield is None else f"{kpis.first_pass_yield:.2%}",
        None if kpis.flagged_ppm is None else f"{kpis.flagged_ppm:,.0f}",
        None if kpis.dpmo is None else f"{kpis.dpmo:,.0f}",
        percent(kpis.false_reject_rate),
        percent(kpis.escape_rate),
        None if kpis.borderline_share is None else f"{kpis.counts.borderline} ({kpis.borderline_share:.2%})",
        kpis.counts.escaped,
        None if kpis.bad_picture_share is None else f"{kpis.bad_picture_share:.2%}",
    )


def percent(estimate: "Estimate | None") -> str | None:
    """Return a share and its interval in percent."""
    from alerts.statistics.confidence_intervals import NOT_ENOUGH

    if estimate is None:
        return None
    value = f"{estimate.value:.2%}" if estimate.is_conclusive else NOT_ENOUGH
    return f"{value} ({estimate.low:.2%} to {estimate.high:.2%})"


def _moment(text: str, now: datetime, option: str) -> datetime:
    try:
        return times.parse_time(text, now)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
