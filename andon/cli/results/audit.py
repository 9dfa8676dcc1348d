"""`andon audit`: the log of who changed what."""

import csv
import json as to_json
import sys
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output, times
from andon.cli.context import command_context
from andon.cli.options import MAX_ROWS, Json, json_keys_help
from foundation.clock import utc_now
from foundation.formulas import may_be_formula

if TYPE_CHECKING:
    from storage.auth.audit_log import AuditEntry

KEYS = ("id", "at", "actor", "role", "action", "station", "subject", "before", "after", "reason")
FORMULA_ESCAPE = "'"  # put before what a spreadsheet would run

app = typer.Typer()


@app.callback(invoke_without_command=True, epilog=json_keys_help("each entry", KEYS))
def audit(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(help="Only since: 15m, 1h, 7d ago, or 2026-01-31T09:30 (UTC).", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only before, written like --since.", show_default=False)] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this person did.", show_default=False)] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, for example threshold.set.", show_default=False)
    ] = None,
    station: Annotated[str | None, typer.Option(help="Only at this station.", show_default=False)] = None,
    text: Annotated[str | None, typer.Option(help="Only entries that hold this text.", show_default=False)] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MAX_ROWS, help="At most so many, the newest; else 50, or all with --csv.")
    ] = None,
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", metavar="", help="Write CSV to stdout.")] = False,
) -> None:
    """List who changed what, when, from what to what and why, newest first."""
    if context.invoked_subcommand is not None:
        return
    from andon import wiring
    from storage.auth.audit_log import AuditFilter, export

    if json and as_csv:
        raise typer.BadParameter("write JSON or CSV, not both", param_hint="--csv")
    filters = AuditFilter(_moment(since, "--since"), _moment(until, "--until"), actor, action, station, text)
    max_entries = limit if limit is not None or as_csv else 50
    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = islice(export(session, filters), max_entries)
        if as_csv:
            _write_csv(found)
            return
        entries = list(found)
    if json:
        output.write_json([json_of(entry) for entry in entries])
        return
    output.write_table(
        ["at (UTC)", "who", "role", "action", "station", "subject", "before", "after", "reason"],
        [
            (
                one.at,
                one.actor,
                one.role,
                one.action,
                one.station,
                one.subject,
                _short(one.before),
                _short(one.after),
                one.reason,
            )
            for one in entries
        ],
        empty="There are no such entries.",
    )


@app.command("verify")
def verify_log(
    context: typer.Context,
    copy: Annotated[
        Path | None,
        typer.Option("--copy", help="A file that `andon audit export` wrote, which the log must hold unchanged."),
    ] = None,
) -> None:
    """Verify that no entry was changed, added or removed: each holds a hash of itself and of the one before."""
    from andon import wiring
    from andon.audit_copy import compare
    from andon.errors import CommandFailed
    from storage.auth import audit_chain

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = audit_chain.verify(session)
        if found.broken_at is not None:
            raise CommandFailed(
                f"The audit log is not what was written: entry {found.broken_at} or the one before was changed, added "
                "or removed; compare it with a copy or a backup."
            )
        copied = 0 if copy is None else compare(session, copy)
    more = "" if copy is None else f" The {copied} entries of {copy} are in it."
    output.print_result(f"{found.entries} entries are unchanged; the last hash is {found.last_hash}.{more}")


@app.command("export")
def export_log(
    context: typer.Context,
    to: Annotated[
        Path, typer.Option("--to", help="File to append what it lacks to: one line of JSON per entry, oldest first.")
    ],
) -> None:
    """Append the entries that a copy of the log lacks, with their hashes; keep the copy on another machine."""
    from andon import wiring
    from andon.audit_copy import extend

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        added = extend(session, to)
    output.print_result(f"Added {added} entries to {to}.")


def json_of(entry: "AuditEntry") -> dict[str, object]:
    """Return an entry as a JSON object."""
    return {key: getattr(entry, key) for key in KEYS}


def _write_csv(entries: "islice[AuditEntry]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(KEYS)
    for entry in entries:
        row = json_of(entry) | {"at": output.rfc3339(entry.at)}
        writer.writerow([_csv_cell(row[key], key in {"before", "after"}) for key in KEYS])


def _csv_cell(value: object, is_json: bool) -> str:
    if value is None:
        return ""
    text = to_json.dumps(value, ensure_ascii=False) if is_json else str(value)
    return FORMULA_ESCAPE + text if may_be_formula(text) else text


def _short(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return ", ".join(f"{key} {to_json.dumps(each, ensure_ascii=False)}" for key, each in value.items())
    return str(value)


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return times.parse_time(text, utc_now())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
